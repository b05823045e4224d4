import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ending, endingText, endText, recordedText, refusalText } from "../src/agent/endings.js";
import { answerText, type MicrophoneState, microphoneText, microphoneWords } from "../src/microphone.js";

const ending = (change: Partial<Ending>): string =>
  endingText({ stage: "active", ours: false, originator: "remote", cause: "Terminated", status: 0, phrase: "", reason: "", ...change });

test("a refusal is shown in the server's own sentence", () => {
  assert.equal(
    refusalText(403, "This system does not place emergency calls: use another phone"),
    "This system does not place emergency calls: use another phone.",
  );
  assert.equal(refusalText(403, "Forbidden"), "The call was refused.");
  assert.equal(refusalText(603, ""), "The call was refused.");
});

test("no route, unknown number and absent colleague have different texts", () => {
  assert.match(refusalText(404, "No route for this number"), /no route for this number/);
  assert.equal(refusalText(404, "Not Found"), "There is no such number.");
  assert.match(refusalText(480, "Not Registered"), /not signed in/);
  assert.equal(refusalText(480, "Temporarily Unavailable"), "Nobody answered.");
  assert.equal(refusalText(408, "Request Timeout"), "Nobody answered.");
});

test("every status has a sentence, whatever its phrase", () => {
  for (const status of [400, 403, 404, 408, 480, 484, 486, 487, 488, 500, 502, 503, 504, 600, 603, 604, 606, 699]) {
    for (const phrase of ["", " ", "Forbidden", "call barred by the carrier", "<b>x</b>"])
      assert.match(refusalText(status, phrase), /\S.*[.!?]$/, `${status} ${phrase}`);
  }
});

test("only the side that ended the call is named", () => {
  assert.equal(ending({ ours: true, originator: "local" }), "You ended the call.");
  assert.equal(ending({}), "The other side ended the call.");
  // After a restart JsSIP ends the call itself and reports it as local.
  assert.match(ending({ originator: "local", cause: "Dialog Error" }), /the server no longer knows it/);
  assert.match(ending({ originator: "system", cause: "Connection Error" }), /connection to the server broke/);
  assert.match(ending({ reason: 'Q.850;cause=41;text="Temporary failure"' }), /^The server ended the call/);
});

test("a call that was answered elsewhere is not shown as given up by the caller", () => {
  const cancelled = { stage: "incoming", cause: "Canceled" } as const;
  assert.match(ending({ ...cancelled, reason: 'SIP;cause=200;text="Call completed elsewhere"' }), /answered elsewhere/);
  assert.match(ending({ ...cancelled, reason: "SIP ; cause = 200" }), /answered elsewhere/);
  assert.match(ending({ ...cancelled, reason: 'Q.850;cause=19;text="No answer from user"' }), /did not answer in time/);
  for (const reason of ["", "SIP", "SIP;cause=x", 'Q.850;cause=16;text="Normal call clearing"']) {
    assert.equal(ending({ ...cancelled, reason }), "The caller hung up before you answered.", reason);
  }
  assert.equal(ending({ ...cancelled, ours: true, originator: "local" }), "");
});

test("the server's record explains what the phone cannot know", () => {
  assert.match(recordedText("crash") ?? "", /restarted/);
  assert.match(recordedText("requested") ?? "", /another page or program/);
  for (const cause of [null, "normal", "busy", "of a newer server"]) assert.equal(recordedText(cause), undefined);
});

test("a user's own leg explains the end before the call does, except a restart", () => {
  assert.match(endText("internal", "crash") ?? "", /restarted/);
  assert.match(endText("requested", "normal") ?? "", /another page or program/);
  assert.match(endText("normal", "max_duration") ?? "", /maximum length/);
  assert.match(endText(null, "shutdown") ?? "", /stopped/);
  for (const [leg, call] of [
    [null, null],
    ["normal", null],
    ["normal", "normal"],
  ] as const)
    assert.equal(endText(leg, call), undefined);
});

test("a phone without a microphone is not ready and says what to do", () => {
  const states: MicrophoneState[] = ["unknown", "granted", "prompt", "denied", "absent", "busy", "insecure"];
  const unfit = states.filter((state) => microphoneWords(state) !== "");
  assert.deepEqual(unfit, ["denied", "absent", "busy", "insecure"]);
  for (const state of unfit) assert.notEqual(microphoneText(state), "");
  // A reload would lose the ringing call.
  assert.doesNotMatch(answerText("denied"), /reload/);
  for (const state of unfit) assert.match(answerText(state), /^You cannot answer yet\. \S/);
});
