import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallEventRecord, parseEvent } from "../src/callpage/detail.js";
import { programHistory } from "../src/callpage/program.js";
import { timeline } from "../src/callpage/timeline.js";

const BEGAN = "2026-11-22T10:00:00Z";
const at = (seconds: number): string => new Date(Date.parse(BEGAN) + seconds * 1000).toISOString();

function events(...bodies: object[]): CallEventRecord[] {
  return bodies.map((body, id) => {
    const event = parseEvent({ type: "call.program", id, call_id: "1", leg: 1, program: 0, ...body });
    assert.ok(event);
    return event;
  });
}

const STARTED = { state: "step_started", step: 1, path: "steps[1]", verb: "gather", at: at(5) };
const ENDED = {
  state: "step_ended",
  step: 1,
  path: "steps[1]",
  verb: "gather",
  at: at(9),
  outcome: "digits",
  digits: "12",
  duration_ms: 4_200,
};

test("a step is shown with its outcome and duration", () => {
  const running = programHistory(events(STARTED), BEGAN)?.runs[0]?.steps;
  assert.deepEqual(
    running?.map(({ verb, path, after, outcome, running: runs }) => [verb, path, after, outcome, runs]),
    [["gather", "steps[1]", "0:05", "", true]],
  );
  const ended = programHistory(events(STARTED, ENDED), BEGAN)?.runs[0]?.steps;
  assert.deepEqual(
    ended?.map(({ after, outcome, took, tone, running: runs }) => [after, outcome, took, tone, runs]),
    [["0:05", "Digits: 12", "4.2 s", "good", false]],
  );
});

test("a step that runs again is listed again", () => {
  const steps = programHistory(
    events(STARTED, { ...ENDED, outcome: "timeout", digits: undefined }, { ...STARTED, at: at(10) }, ENDED),
    BEGAN,
  )?.runs[0]?.steps;
  assert.deepEqual(
    steps?.map(({ outcome, tone }) => [outcome, tone]),
    [
      ["No key was pressed", "warn"],
      ["Digits: 12", "good"],
    ],
  );
});

test("secret digits are hidden, and pressing none is shown", () => {
  const outcome = (digits: unknown) => programHistory(events(STARTED, { ...ENDED, digits }), BEGAN)?.runs[0]?.steps[0]?.outcome;
  assert.deepEqual([outcome(undefined), outcome(null), outcome("")], ["Digits", "Digits", "Digits: none"]);
});

test("the next program has its own list", () => {
  const history = programHistory(events(STARTED, ENDED, { ...STARTED, program: 1, path: "steps[0]", verb: "dial" }), BEGAN);
  assert.deepEqual(
    history?.runs.map(({ program, steps }) => [program, steps.length]),
    [
      [0, 1],
      [1, 1],
    ],
  );
  assert.equal(history?.ended, "");
});

test("the program's end is shown, and no step runs after it", () => {
  const history = programHistory(
    events(STARTED, { state: "ended", program: null, outcome: "bound", detail: "more than 2,000 steps", at: at(20) }),
    BEGAN,
  );
  assert.deepEqual(
    [history?.ended, history?.tone, history?.runs[0]?.steps[0]?.running],
    ["Exceeded a program limit: more than 2,000 steps", "bad", false],
  );
  assert.equal(programHistory(events(STARTED, { state: "ended", outcome: "new_word" }), BEGAN)?.ended, "new word");
});

test("an end without a start and malformed fields are accepted", () => {
  assert.equal(programHistory([], BEGAN), undefined);
  assert.deepEqual(
    programHistory(events(ENDED), BEGAN)?.runs[0]?.steps.map(({ after, outcome }) => [after, outcome]),
    [["0:09", "Digits: 12"]],
  );
  assert.deepEqual(
    programHistory(events({ state: "step_started" }, { state: 7 }), BEGAN)?.runs[0]?.steps.map(({ path, verb }) => [path, verb]),
    [["steps[?]", ""]],
  );
});

test("the timeline has program ends, fallbacks, parking and pauses", () => {
  const told = timeline(
    [
      ...events(
        STARTED,
        ENDED,
        { state: "fell_back", detail: "no answer within 2 s", at: at(10) },
        { state: "ended", outcome: "caller_gone", at: at(12) },
      ),
      ...[
        { type: "call.parked", role: "customer", slot: 71, parked_by: "ana" },
        { type: "call.unparked", why: "picked_up" },
        { type: "call.recording", state: "paused", number: 2 },
        { type: "call.recording", state: "started", part: 2, number: 1 },
      ].map((body, id) => parseEvent({ id: 10 + id, at: at(20), ...body }) as CallEventRecord),
      ...[
        { type: "call.joined" },
        { type: "call.left" },
        { type: "call.play", state: "started" },
        { type: "call.play", state: "done" },
        { type: "call.gathered", digits: "42" },
      ].map((body, id) => parseEvent({ id: 20 + id, at: at(30), ...body }) as CallEventRecord),
    ],
    BEGAN,
  ).map(({ text, detail }) => [text, detail].filter(Boolean).join(": "));
  assert.deepEqual(told, [
    "The fallback program takes over: no answer within 2 s",
    "The call program has ended: the caller left",
    "Customer is parked in slot 71: By ana",
    "The parked call was picked up",
    "Recording 2 is paused",
    "The recording continues in part 2",
    "A prompt is played",
    "Digits were collected: 42",
  ]);
});

test("a message that is left is shown with how it ended", () => {
  const step = { ...ENDED, verb: "leave_message", digits: undefined, outcome: "message" };
  const shown = (detail: string) => programHistory(events({ ...step, detail }), BEGAN)?.runs[0]?.steps[0];
  assert.deepEqual(
    ["left", "human", "failed"].map((detail) => [shown(detail)?.outcome, shown(detail)?.tone, shown(detail)?.detail]),
    [
      ["Message left", "good", ""],
      ["Interrupted by a person", "warn", ""],
      ["Could not be played", "bad", ""],
    ],
  );
});
