import assert from "node:assert/strict";
import { test } from "node:test";
import {
  applyLegEvent,
  applyLegs,
  describe,
  legName,
  NO_LEGS,
  NO_SEAT,
  roleName,
  type Score,
  scoreText,
  seatText,
  shownLegs,
  trouble,
  whisperTargets,
} from "../src/legs.js";

const FLOW = { incoming: { state: "flowing", detail: null }, outgoing: { state: "sending", detail: null } };
const SCORE = { mos: 4.3, mos_call: 4.2, loss_percent: 0.4, loss_percent_call: 0.1, jitter_ms: 2, delay_ms: 47.6 };

function fetched(leg: number, role: string, change = {}): object {
  return { leg, role, state: "answered", peer: "+15555550142", codec: "PCMU", flow: FLOW, quality: null, ...change };
}

test("each event changes its own part of a fetched leg", () => {
  let legs = applyLegs([fetched(1, "customer"), fetched(2, "agent")]);
  const flow = { ...FLOW, incoming: { state: "wrong_address", detail: "packets come from 192.0.2.7:4000, not from 192.0.2.1:4000" } };
  legs = applyLegEvent(legs, "call.flow", { leg: 1, role: "customer", flow });
  legs = applyLegEvent(legs, "call.quality", { leg: 1, role: "customer", quality: { round_trip_ms: 30, incoming: SCORE, outgoing: {} } });
  assert.equal(legs.get(1)?.flow?.incoming.state, "wrong_address");
  assert.equal(legs.get(1)?.quality?.incoming.mos, 4.3);
  assert.equal(legs.get(1)?.quality?.outgoing.mos, null);
  assert.equal(legs.get(1)?.codec, "PCMU");
  assert.equal(legs.get(2)?.flow?.incoming.state, "flowing");
  legs = applyLegEvent(legs, "call.leg", { leg: 1, role: "customer", state: "ended", peer: "x", codec: null });
  assert.deepEqual([legs.get(1)?.state, legs.get(1)?.codec], ["ended", "PCMU"]);
});

test("events create a leg that was not fetched; other events change nothing", () => {
  const legs = applyLegEvent(NO_LEGS, "call.flow", { leg: 7, role: "agent", flow: FLOW });
  assert.equal(legs.get(7)?.role, "agent");
  for (const [kind, data] of [
    ["call.flow", null],
    ["call.flow", { leg: "7" }],
    ["call.dtmf", { leg: 7 }],
    ["call.flow", 3],
  ] as const) {
    assert.equal(applyLegEvent(legs, kind, data), legs);
  }
  assert.equal(applyLegEvent(legs, "call.flow", { leg: 7, flow: { incoming: 1 } }).get(7)?.flow?.incoming.state, "flowing");
});

test("the customer comes first, and legs without any data are not shown", () => {
  const legs = applyLegs([fetched(1, "agent"), fetched(2, "customer"), fetched(3, "customer", { flow: null }), "junk", { leg: 1 }]);
  assert.deepEqual(
    shownLegs(legs).map((leg) => leg.leg),
    [2, 1],
  );
});

test("a problem is explained, a normal state is not", () => {
  const why = "packets come from 192.0.2.7:4000, not from 192.0.2.1:4000";
  assert.deepEqual(describe("incoming", { state: "wrong_address", detail: why }), { tone: "bad", label: "Wrong source address", why });
  assert.deepEqual(describe("outgoing", { state: "on_hold", detail: "held" }), { tone: "idle", label: "On hold", why: null });
  assert.deepEqual(describe("incoming", { state: "some_new_state", detail: "x" }), { tone: "idle", label: "some new state", why: "x" });
});

test("a score shows the known values only", () => {
  const none: Score = { mos: null, mos_call: null, loss_percent: null, jitter_ms: null, delay_ms: null };
  assert.equal(scoreText({ ...none, ...SCORE }), "MOS 4.3, 0.4 % lost, 48 ms");
  assert.equal(scoreText({ ...none, mos: 4.41, loss_percent: 0, delay_ms: 20 }), "MOS 4.4, 20 ms");
  assert.equal(scoreText({ ...none, mos_call: 3.9 }), "MOS 3.9 so far");
  assert.equal(scoreText(none), "");
  assert.equal(scoreText({ ...none, ...SCORE }, true), "MOS 4.2 over the call");
  assert.equal(scoreText({ ...none, mos: 4.1 }, true), "");
});

test("every role has a name, and supervisors come last", () => {
  assert.deepEqual(["customer", "agent", "supervisor", "other"].map(roleName), ["Customer", "Agent", "Supervisor", "Party"]);
  const legs = applyLegs([fetched(3, "supervisor"), fetched(2, "agent"), fetched(5, "other"), fetched(1, "customer")]);
  assert.deepEqual(
    shownLegs(legs).map(({ leg }) => leg),
    [1, 2, 3, 5],
  );
  assert.deepEqual(
    [legName({ role: "agent", peer: "sip:ana@tandem.example" }), legName({ role: "customer", peer: "" })],
    ["Agent ana", "Customer"],
  );
});

test("a leg shows hold, mute and supervision", () => {
  let legs = applyLegs([fetched(1, "customer"), fetched(2, "agent", { peer: "ana" }), fetched(3, "supervisor", { supervises: "listen" })]);
  const seat = (leg: number): string => seatText(legs.get(leg) ?? NO_SEAT, legs);
  assert.deepEqual([seat(1), seat(3)], ["", "Listens"]);
  legs = applyLegEvent(legs, "call.seat", { leg: 3, role: "supervisor", held: false, muted: false, supervises: { whisper: 2 } });
  legs = applyLegEvent(legs, "call.seat", { leg: 1, role: "customer", held: true, muted: true, supervises: null });
  assert.deepEqual([seat(1), seat(3)], ["On hold, Muted", "Whispers to Agent ana"]);
  legs = applyLegEvent(legs, "call.seat", { leg: 3, role: "supervisor", supervises: { whisper: null } });
  assert.equal(seat(3), "Whispers to the agent");
  legs = applyLegEvent(legs, "call.seat", { leg: 3, role: "supervisor", supervises: "barge" });
  assert.equal(seat(3), "Heard by everybody");
  assert.deepEqual(
    whisperTargets(legs).map(({ leg }) => leg),
    [2, 1],
    "agents first, supervisors never",
  );
});

test("a leg shows that its phone holds the call, and a changed volume", () => {
  const legs = applyLegEvent(applyLegs([fetched(1, "customer", { gain_db: -6 })]), "call.seat", {
    leg: 1,
    role: "customer",
    holds: true,
    gain_db: 3,
  });
  assert.equal(seatText(legs.get(1) ?? NO_SEAT, legs), "Put the call on hold, 3 dB louder");
  assert.equal(seatText({ ...NO_SEAT, gainDb: -6 }, legs), "6 dB quieter");
});

test("a leg that was never answered is shown with how it ended", () => {
  const legs = applyLegs([
    fetched(1, "customer"),
    { leg: 2, role: "agent", state: "ended", peer: "mei", ending: { cause: "busy", by: "far_end", sip_status: 486 } },
    { leg: 3, role: "agent", state: "ringing", peer: "bob" },
  ]);
  assert.deepEqual(
    shownLegs(legs).map(({ leg }) => leg),
    [1, 2],
  );
});

test("the worst problem with the sound is named in a few words", () => {
  const stopped = { ...FLOW, incoming: { state: "stopped", detail: null } };
  const silent = { ...FLOW, incoming: { state: "silence", detail: null } };
  assert.equal(trouble(applyLegs([fetched(1, "customer"), fetched(2, "agent", { flow: null })])), undefined);
  assert.deepEqual(trouble(applyLegs([fetched(1, "customer", { flow: silent }), fetched(2, "agent", { flow: stopped })])), {
    tone: "bad",
    text: "Agent: sound has stopped",
  });
  assert.equal(trouble(applyLegs([fetched(1, "customer", { flow: stopped, state: "ended" })])), undefined);
});
