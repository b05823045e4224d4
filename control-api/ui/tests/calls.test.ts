import assert from "node:assert/strict";
import { test } from "node:test";
import {
  applyCallEvent,
  applyList,
  type Call,
  type CallStatus,
  customerName,
  directionText,
  NO_CALLS,
  ownCall,
  parseConfig,
  translationNotice,
  visibleCalls,
} from "../src/calls.js";

const CONFIG = parseConfig({
  live_translate: true,
  transcribe: false,
  translate_from: "en",
  translate_to: "es",
  voice_to_voice: true,
  record: true,
});

function call(id: string, status: CallStatus, change: Partial<Call> = {}): Call {
  return {
    id,
    status,
    direction: "inbound",
    mode: null,
    from: "+15555550142",
    to: "+34910000001",
    agent: "ana",
    config: CONFIG,
    created_at: `2026-11-21T10:00:0${id}Z`,
    answered_at: null,
    ended_at: null,
    ended_reason: null,
    outcome: null,
    ...change,
  };
}

const VIEW = { filter: "", pinned: new Set<string>(), keep: new Set<string>() };

test("a list that was requested before an event does not undo it", () => {
  const calls = applyCallEvent(applyList(NO_CALLS, [call("1", "ringing")]), { call_id: "1", status: "ended", cause: "busy" });
  const late = applyList(calls, [call("1", "ringing")]);
  assert.equal(late.get("1")?.status, "ended");
  assert.equal(late.get("1")?.ended_reason, "busy");
});

test("a status never goes back", () => {
  const calls = applyList(NO_CALLS, [call("1", "bridged")]);
  assert.equal(applyCallEvent(calls, { call_id: "1", status: "ringing" }), calls);
  assert.equal(applyCallEvent(calls, { call_id: "2", status: "ringing" }), calls, "unknown calls must be fetched");
  assert.equal(applyCallEvent(calls, { call_id: "1", status: "strange" }), calls);
});

test("running calls are shown, pinned ones first, ended ones only when kept", () => {
  const calls = applyList(NO_CALLS, [call("1", "bridged"), call("2", "ringing"), call("3", "ended"), call("4", "ended")]);
  const ids = (view: Partial<typeof VIEW>): string[] => visibleCalls(calls, { ...VIEW, ...view }).map(({ id }) => id);
  assert.deepEqual(ids({}), ["2", "1"]);
  assert.deepEqual(ids({ pinned: new Set(["1", "3"]) }), ["3", "1", "2"]);
  assert.deepEqual(ids({ keep: new Set(["4"]) }), ["2", "1", "4"]);
});

test("the filter matches calls with every word", () => {
  const calls = applyList(NO_CALLS, [call("1", "bridged"), call("2", "bridged", { from: "+442079460123", agent: "luis" })]);
  const ids = (filter: string): string[] => visibleCalls(calls, { ...VIEW, filter }).map(({ id }) => id);
  assert.deepEqual(ids("7946 LUIS"), ["2"]);
  assert.deepEqual(ids("7946 ana"), []);
});

test("an event with a whole call adds it, and never moves its status back", () => {
  const calls = applyCallEvent(NO_CALLS, { call_id: "1", call: call("1", "bridged") });
  assert.equal(calls.get("1")?.status, "bridged");
  assert.equal(applyCallEvent(calls, { call_id: "1", call: call("1", "queued") }).get("1")?.status, "bridged");
});

test("an agent's own call is the newest running one", () => {
  const calls = applyList(NO_CALLS, [call("1", "bridged"), call("2", "ended"), call("3", "ringing", { agent: "luis" })]);
  assert.equal(ownCall(calls, "ana")?.id, "1");
  assert.equal(ownCall(calls, "eva"), undefined);
});

test("a parked call does not hide the call that the agent talks in", () => {
  const calls = applyList(NO_CALLS, [call("1", "bridged", { agent: "luis" }), call("2", "answered")]);
  assert.equal(ownCall(calls, "ana")?.id, "2");
  assert.equal(ownCall(calls, "ana", (id) => id === "1")?.id, "1", "picked up, although the agent's own parked call is newer");
});

test("the notice says whether transcription or translation is off", () => {
  assert.equal(translationNotice(CONFIG), undefined);
  assert.match(translationNotice({ ...CONFIG, live_translate: false }) ?? "", /^Transcription and translation are off/);
  assert.match(translationNotice({ ...CONFIG, live_translate: false, transcribe: true }) ?? "", /transcribed only/);
});

test("the customer of an outbound call is named the callee", () => {
  assert.equal(customerName(call("1", "bridged", { direction: "inbound" })), "Caller");
  assert.equal(customerName(call("1", "bridged", { direction: "outbound" })), "Callee");
  assert.equal(directionText({ direction: "inbound", mode: null }), "Inbound");
  assert.equal(directionText({ direction: "outbound", mode: "bridge" }), "Outbound, bridge");
  assert.equal(directionText({ direction: "outbound", mode: null }), "Outbound, dialled by the agent");
});
