import assert from "node:assert/strict";
import { test } from "node:test";
import { humanNow, paths, picture, pictureText, places, ticks } from "../src/amd/picture.js";
import { type Amd, applyAmdEvent, currentVerdict, NO_AMD, parseAmd, STEPS_MAX } from "../src/amd/state.js";
import { actionText, badge, correctionText, factGroups, featureText, messageTimes, percent, verdictText } from "../src/amd/words.js";
import { timeline } from "../src/callpage/timeline.js";
import { applyLegEvent, applyLegs, NO_LEGS } from "../src/legs.js";

const MACHINE = {
  verdict: "machine",
  probability: 0.97,
  decided_at_ms: 3400,
  action: "message",
  evidence: {
    ground: "sound",
    hz: [],
    speech: [
      [480, 2300],
      [2700, 3400],
    ],
    line: "business",
    phrases: [{ phrase: "leave a message", probability: 0.97 }, { phrase: "x" }],
    features: [
      { name: "phrase_longest", value: 2.4, weight: -1.2 },
      { name: "zero_share", value: 0.4, weight: -0.5 },
      { name: "odd_feature", value: 1.234, weight: 0.2 },
      { name: "floor", value: -60 },
      "junk",
    ],
  },
};
const FETCHED = {
  mode: "balanced",
  ...MACHINE,
  revised: null,
  later: [],
  greeting_end_ms: 6100,
  beeps: [{ start_ms: 6500, end_ms: 6900, hz: [1000] }],
  message_begun_ms: 6950,
  message_after: "beep",
  message_end: "left",
  message_end_ms: 12_000,
};
const EVENTS = [
  { stage: "listening", mode: "balanced" },
  { stage: "verdict", ...MACHINE },
  { stage: "greeting_end", at_ms: 6100 },
  { stage: "beep", start_ms: 6500, end_ms: 6900, hz: [1000] },
  { stage: "message_begun", at_ms: 6950, after: "beep" },
  { stage: "message_left", at_ms: 12_000, end: "left" },
];

function after(events: readonly object[], before: Amd | null = null): Amd {
  const amd = events.reduce<Amd | null>(applyAmdEvent, before);
  assert.ok(amd);
  return amd;
}

function heard(fromMs: number, count: number, change: object = {}): object {
  const of = <T>(value: T): T[] => Array.from({ length: count }, () => value);
  return { stage: "heard", from_ms: fromMs, level_dbfs: of(-20), speech: of(true), human: of(40), ...change };
}

test("events, in any order and repeated, lead to the fetched state", () => {
  const fetched = parseAmd(FETCHED);
  assert.deepEqual(after(EVENTS), fetched);
  assert.deepEqual(after([...EVENTS].reverse()), fetched);
  assert.deepEqual(after([...EVENTS, ...EVENTS]), fetched);
  assert.deepEqual(after(EVENTS, fetched), fetched);
});

test("malformed states and events change nothing", () => {
  for (const odd of [null, undefined, 3, "x"]) assert.equal(parseAmd(odd), null);
  assert.deepEqual(parseAmd({}), NO_AMD);
  assert.equal(applyAmdEvent(null, { stage: "some_new_stage" }), null);
  const amd = after(EVENTS);
  for (const odd of [null, 3, {}, { stage: "verdict" }, { stage: "beep", start_ms: "6" }, { stage: "some_new_stage" }])
    assert.equal(applyAmdEvent(amd, odd), amd);
  assert.deepEqual(after([{ stage: "heard", from_ms: -100, level_dbfs: [-20] }]).strip, NO_AMD.strip);
  assert.deepEqual(
    parseAmd({ verdict: "fax", evidence: { hz: ["x", 1100], speech: [[1], [1, 2], 7], features: [{ name: 1, value: 2, weight: 3 }] } })
      ?.verdicts[0],
    {
      verdict: "fax",
      probability: null,
      decidedAtMs: null,
      action: "",
      evidence: { ground: "", hz: [1100], speech: [[1, 2]], line: "", phrases: [], features: [] },
    },
  );
});

test("a verdict after a reply is the current one, and a beep with a known start replaces it", () => {
  const first = { stage: "verdict", verdict: "screening", probability: 0.9, decided_at_ms: 4000, action: "reply" };
  const then = { stage: "verdict", verdict: "human", probability: 0.93, decided_at_ms: 9000, action: "connect" };
  for (const events of [
    [first, then],
    [then, first],
  ])
    assert.equal(currentVerdict(after(events))?.verdict, "human");
  const beeps = after([
    { stage: "beep", start_ms: 100, end_ms: 300, hz: [1000] },
    { stage: "beep", start_ms: 100, end_ms: 500, hz: [1000] },
    { stage: "beep", start_ms: 100, end_ms: 300, hz: [1000] },
  ]).beeps;
  assert.deepEqual(
    beeps.map(({ endMs }) => endMs),
    [500],
  );
});

test("pieces of the strip are joined whatever their order; missing ones stay empty", () => {
  const { strip } = after([heard(1000, 5), heard(0, 5), heard(0, 5)]);
  assert.equal(strip.fromMs, 0);
  assert.deepEqual(
    strip.steps.map((step) => step !== null),
    [...Array(5).fill(true), ...Array(5).fill(false), ...Array(5).fill(true)],
  );
  assert.deepEqual(strip.steps[0], { levelDbfs: -20, speech: true, human: 40 });
});

test("the strip keeps the newest 30 s only", () => {
  let amd: Amd | null = null;
  for (let at = 0; at < 100_000; at += 500) amd = applyAmdEvent(amd, heard(at, 5));
  assert.equal(amd?.strip.steps.length, STEPS_MAX);
  assert.equal(amd?.strip.fromMs, 70_000);
  const late = applyAmdEvent(amd, heard(0, 5));
  assert.deepEqual([late?.strip.steps.length, late?.strip.fromMs], [STEPS_MAX, 70_000], "a piece that comes too late");
  const far = applyAmdEvent(amd, heard(10_000_000, 5));
  assert.equal(far?.strip.steps.length, STEPS_MAX, "a piece that is far ahead");
});

test("a fetched list keeps the strip of its legs and has the newer state", () => {
  const listening = applyLegEvent(
    applyLegEvent(NO_LEGS, "call.amd", { leg: 1, role: "customer", stage: "listening", mode: "fast" }),
    "call.amd",
    { leg: 1, ...heard(0, 5) },
  );
  assert.equal(listening.get(1)?.amd?.mode, "fast");
  const legs = applyLegs([{ leg: 1, role: "customer", state: "answered", amd: FETCHED }], listening);
  assert.equal(legs.get(1)?.amd?.strip.steps.length, 5);
  assert.equal(legs.get(1)?.amd?.greetingEndMs, 6100);
  assert.equal(applyLegs([{ leg: 1, role: "customer", state: "answered" }]).get(1)?.amd, null);
});

test("the badge says what answered and how sure that is", () => {
  assert.deepEqual(badge(NO_AMD, false), { tone: "idle", text: "Listening: who answered?" });
  assert.deepEqual(badge(NO_AMD, true), { tone: "idle", text: "Not determined" });
  assert.deepEqual(badge(after(EVENTS), false), { tone: "warn", text: "Voicemail, 97 %" });
  assert.equal(verdictText({ verdict: "unknown", probability: 0.4 }), "Unclear");
  assert.equal(verdictText({ verdict: "some_new_verdict", probability: null }), "Some new verdict");
  assert.deepEqual([percent(0.9999), percent(0.004), percent(0.905)], ["over 99 %", "0 %", "91 %"]);
});

test("the action follows the progress of a message", () => {
  const texts = EVENTS.map((_, index) => actionText(after(EVENTS.slice(0, index + 1)), false));
  assert.deepEqual(texts, [
    "",
    "waiting for the end of the greeting",
    "waiting for the beep",
    "waiting for the beep",
    "leaving a message",
    "message left",
  ]);
  assert.equal(actionText(after(EVENTS.slice(0, 2)), true), "no message left");
  assert.equal(actionText(after(EVENTS.slice(0, 5)), true), "message cut short");
  assert.equal(actionText(after(EVENTS.slice(0, 1)), true), "the call ended before it was clear who answered");
  assert.equal(messageTimes(after(EVENTS)), "7.0 s to 12.0 s, after the beep");
  const reply = after([{ stage: "verdict", verdict: "screening", action: "reply" }]);
  assert.deepEqual([actionText(reply, false), actionText(reply, true)], ["replied, listening to what follows", "replied"]);
});

test("a correction is a sentence and a group of facts", () => {
  const human = { stage: "verdict", verdict: "human", probability: 0.92, decided_at_ms: 2100, action: "connect" };
  const beep = { ground: "beep", hz: [440, 480] };
  const amd = after([human, { stage: "revised", verdict: "machine", probability: 0.88, decided_at_ms: 9100, action: "", evidence: beep }]);
  assert.equal(correctionText(amd), "Turned out to be a voicemail (88 %, after 9.1 s).");
  assert.equal(badge(amd, false).text, "Person, 92 %", "what was acted upon");
  assert.deepEqual(factGroups(amd).slice(0, 2), [
    { title: "Person, 92 %, after 2.1 s, connected", facts: [] },
    {
      title: "Correction: Voicemail, 88 %, after 9.1 s",
      facts: [
        { term: "Decided by", texts: ["The beep"] },
        { term: "Tone", texts: ["440 and 480 Hz"] },
      ],
    },
  ]);
});

test("the evidence is in words", () => {
  assert.deepEqual(factGroups(after(EVENTS)), [
    {
      title: "",
      facts: [
        { term: "Decided", texts: ["after 3.4 s"] },
        { term: "Decided by", texts: ["The voice, its pauses, and the sound of the line"] },
        { term: "Speech", texts: ["0.5 to 2.3 s, 2.7 to 3.4 s (2.5 s in total)"] },
        { term: "Line", texts: ["Sounds like a business"] },
        { term: "Phrases heard", texts: ["“leave a message” (97 %)"] },
        { term: "Speaks for a person", texts: ["odd feature 1.23"] },
        { term: "Speaks for a recording", texts: ["longest phrase 2.4 s", "digital silence in pauses 40 %"] },
        { term: "Message", texts: ["7.0 s to 12.0 s, after the beep"] },
        { term: "Mode", texts: ["Balanced"] },
      ],
    },
  ]);
  const features: [string, number, string][] = [
    ["pitch", 12, "pitch of the voice 110 Hz"],
    ["floor", -71.6, "level of the background −72 dB"],
    ["band13", 3, "voice between 3406 and 3906 Hz 3 dB"],
    ["band14", 3, "band14 3"],
    ["tone_now", 0, "no tone at the decision"],
    ["tone_now", 1, "a tone at the decision"],
    ["syllables", 4.21, "syllables 4.2 per second"],
    ["said_leave", 3, "“leave a message” 95 %"],
  ];
  for (const [name, value, text] of features) assert.equal(featureText(name, value), text);
});

test("the picture grows in steps and shows the beginning of a long message", () => {
  assert.equal(picture(NO_AMD).untilMs, 5000);
  assert.equal(picture(after([heard(5000, 5)])).untilMs, 8000);
  assert.equal(picture(after(EVENTS)).untilMs, 12_000);
  const long = picture(after([...EVENTS.slice(0, 5), { stage: "message_left", at_ms: 70_000, end: "left" }]));
  assert.equal(long.untilMs, 12_000);
  assert.deepEqual(
    long.marks.map(({ kind, open }) => [kind, open]),
    [
      ["decision", false],
      ["greeting_end", false],
      ["beep", false],
      ["message", true],
    ],
  );
  for (const untilMs of [5000, 8000, 12_000, 30_000, 90_000, 600_000]) {
    const times = ticks({ ...long, untilMs });
    assert.ok(times.length <= 13, `${untilMs}: ${times}`);
    assert.equal(times.at(-1), untilMs / 1000);
  }
});

test("speech is taken from the evidence where no sound was heard here", () => {
  assert.deepEqual(picture(after(EVENTS)).speech, [
    [480, 2300],
    [2700, 3400],
  ]);
  assert.deepEqual(picture(after([heard(2000, 10), ...EVENTS])).speech, [
    [480, 2000],
    [3000, 3400],
  ]);
});

test("paths have a bar for each step, and a line that is interrupted where steps are missing", () => {
  const { speech, other, human } = paths(picture(after([heard(0, 2), heard(400, 1, { speech: [false] })])));
  assert.deepEqual([speech.match(/M/g)?.length, other.match(/M/g)?.length, human.match(/M/g)?.length], [2, 1, 2]);
  assert.equal(humanNow(after([heard(0, 2)])), 40);
  assert.equal(humanNow(NO_AMD), undefined);
});

test("labels do not cover one another at any width", () => {
  const drawn = picture(after(EVENTS));
  for (const width of [200, 330, 700, 1100]) {
    const boxes = places(drawn, width).map(({ row, left }, index) => {
      const { fromMs, label } = drawn.marks[index] ?? { fromMs: 0, label: "" };
      const at = (width * fromMs) / drawn.untilMs;
      const length = label.length * 6;
      return { row, from: left ? at - length : at, to: left ? at : at + length };
    });
    for (const a of boxes)
      for (const b of boxes)
        assert.ok(a === b || a.row !== b.row || a.to <= b.from || b.to <= a.from, `${width}: ${JSON.stringify([a, b])}`);
  }
});

test("the picture is described in words", () => {
  assert.equal(
    pictureText(after(EVENTS)),
    "Speech from 0.5 to 2.3 s, 2.7 to 3.4 s. Decision after 3.4 s: Voicemail, 97 %. The greeting ended at 6.1 s. " +
      "Beep 1000 Hz from 6.5 to 6.9 s. Message from 7.0 to 12.0 s.",
  );
  assert.equal(pictureText(after([heard(0, 3)])), "Speech from 0.0 to 0.3 s. Probability of a person: 40 %.");
  assert.equal(pictureText(NO_AMD), "No speech so far.");
});

test("the detection is part of what happened, without the sound that was heard", () => {
  const began = "2026-11-25T10:00:00Z";
  const events = [...EVENTS, heard(0, 5), { stage: "revised", verdict: "human", probability: 0.9, decided_at_ms: 13_000 }].map(
    (event, id) => ({ id, type: "call.amd", at: began, body: { leg: 1, role: "customer", ...event } }),
  );
  assert.deepEqual(
    timeline(events, began).map(({ text, detail }) => [text, detail]),
    [
      ["Listening to find out who answered", ""],
      ["Answered by: Voicemail, 97 %", "A message is to be left"],
      ["The greeting has ended", ""],
      ["A beep was heard", "1000 Hz"],
      ["A message is being left", "After the beep"],
      ["Message left", ""],
      ["Turned out to be a person", ""],
    ],
  );
});
