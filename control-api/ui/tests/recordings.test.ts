import assert from "node:assert/strict";
import { test } from "node:test";
import { channelLanes } from "../src/callpage/channels.js";
import { recordingTracks } from "../src/callpage/tracks.js";
import {
  applyRecordingEvent,
  isRecording,
  type Part,
  parsePart,
  parseRecordings,
  type Recording,
  recordingName,
  recordingNow,
  singleRecording,
} from "../src/recordings.js";

const BEGAN = "2026-11-22T10:00:00Z";
const at = (seconds: number): string => new Date(Date.parse(BEGAN) + seconds * 1000).toISOString();
const PATH = "/api/calls/c/recording";
const CUSTOMER = { channel: 0, leg: 1, role: "customer", peer: "+15555550142", agent: null, from: at(10), until: null };
const ANA = { channel: 1, leg: 2, role: "agent", peer: "sip:x", agent: "ana", from: at(12), until: at(40) };

function recordingWith(change: object = {}, part: object = {}): Recording {
  const [parsed] = parseRecordings(
    {
      recordings: [
        {
          number: 1,
          leg: null,
          state: "started",
          note: null,
          duration_ms: 0,
          started_at: at(10),
          ended_at: null,
          gaps: [],
          parts: [{ part: 1, state: "started", duration_ms: 0, started_at: at(10), ended_at: null, channels: [CUSTOMER, ANA], ...part }],
          ...change,
        },
      ],
    },
    PATH,
  );
  assert.ok(parsed);
  return parsed;
}

const first = (recording: Recording): Part => recording.parts[0] as Part;
const event = (change: object) => ({ type: "call.recording", call_id: "c", at: at(20), number: 1, ...change });
const after = (recordings: readonly Recording[], ...changes: object[]) =>
  changes.reduce((all: readonly Recording[], change) => applyRecordingEvent(all, "call.recording", event(change)), recordings);

test("a list of recordings is read with its files, channels and gaps", () => {
  const recording = recordingWith({ gaps: [{ from: at(20), until: at(25) }, { from: at(30), until: null }, {}] });
  assert.deepEqual(recording.gaps, [
    { from: at(20), until: at(25) },
    { from: at(30), until: null },
  ]);
  assert.deepEqual(
    first(recording).channels.map(({ channel, leg, role, peer }) => [channel, leg, role, peer]),
    [
      [0, 1, "customer", "+15555550142"],
      [1, 2, "agent", "ana"],
    ],
  );
  assert.deepEqual(parseRecordings({ recordings: [{ number: 1 }, { state: "started" }, null] }, PATH), []);
  assert.deepEqual(parseRecordings(undefined, PATH), []);
});

test("a file's address is this server's own", () => {
  const part = (change: object, number = 1): Part => parsePart({ state: "finished", part: 1, ...change }, number, PATH) as Part;
  assert.equal(part({ url: `${PATH}?number=1&part=1` }).url, `${PATH}?number=1&part=1`);
  assert.equal(part({ url: "https://elsewhere.example/x" }).url, PATH);
  assert.equal(part({ part: 2 }).url, `${PATH}?part=2`);
  assert.deepEqual([part({ part: 2 }, 3).url, part({ part: 2 }, 3).originalUrl], [`${PATH}?number=3&part=2`, `${PATH}?number=3&part=2`]);
  assert.equal(part({ original_url: `${PATH}?channels=all` }).originalUrl, `${PATH}?channels=all`);
});

test("a pause of a recording is a gap", () => {
  const paused = after([recordingWith()], { state: "paused" }, { state: "paused" });
  assert.deepEqual([paused[0]?.state, paused[0]?.gaps], ["paused", [{ from: at(20), until: null }]]);
  const resumed = after(paused, { state: "resumed", at: at(30) });
  assert.deepEqual([resumed[0]?.state, resumed[0]?.gaps], ["started", [{ from: at(20), until: at(30) }]]);
});

test("a recording runs while one of its files does", () => {
  const next = { state: "started", part: 2, channels: [CUSTOMER] };
  for (const order of [
    [next, { state: "finished", part: 1 }],
    [{ state: "finished", part: 1 }, next],
  ]) {
    assert.equal(after([recordingWith()], ...order)[0]?.state, "started");
  }
  const over = after([recordingWith()], next, { state: "finished", part: 1 }, { state: "finished", part: 2, at: at(50) });
  assert.deepEqual([over[0]?.state, over[0]?.endedAt], ["finished", at(50)]);
  assert.equal(after(over, { state: "started", part: 1 })[0]?.state, "finished", "a repeated event does not start the recording again");
  assert.equal(
    after([recordingWith()], { state: "paused" }, next)[0]?.state,
    "paused",
    "a file that starts during a pause does not end the pause",
  );
});

test("a second recording is listed beside the first", () => {
  const two = after([recordingWith()], { number: 2, state: "started", part: 1 });
  assert.deepEqual(
    two.map(({ number, state }) => [number, state]),
    [
      [1, "started"],
      [2, "started"],
    ],
  );
  assert.equal(recordingNow(after(two, { state: "paused" })), "started");
  assert.equal(recordingNow(after(two, { state: "paused" }, { number: 2, state: "paused" })), "paused");
  assert.equal(recordingNow(after(two, { state: "finished", part: 1 }, { number: 2, state: "interrupted", part: 1 })), undefined);
  assert.equal(applyRecordingEvent(two, "call.leg", event({ state: "started" })), two);
});

test("a recording is named by its number and its only party", () => {
  assert.equal(recordingName(recordingWith(), 1), "Recording");
  assert.equal(recordingName(recordingWith({ number: 2 }), 2), "Recording 2");
  assert.equal(recordingName(recordingWith({ leg: 2 }), 2), "Recording 1: Agent ana only");
  assert.equal(recordingName(recordingWith({ leg: 9 }), 1), "Recording: one party only");
});

test("an older server's files become one recording", () => {
  const parts = [1, 2].map(
    (part) => parsePart({ part, state: part === 1 ? "finished" : "started", duration_ms: 1000, started_at: at(part) }, 1, PATH) as Part,
  );
  const [only] = singleRecording(parts);
  assert.deepEqual([only?.state, only?.durationMs, only?.startedAt, only?.endedAt], ["started", 2000, at(1), null]);
  assert.deepEqual(singleRecording([]), []);
});

test("each channel has a lane, and gaps span all of them", () => {
  const recording = recordingWith(
    {
      gaps: [
        { from: at(5), until: at(15) },
        { from: at(30), until: null },
      ],
    },
    { duration_ms: 40_000 },
  );
  const { lengthMs, lanes, gaps } = channelLanes(first(recording), recording.gaps, 0);
  assert.equal(lengthMs, 40_000);
  assert.deepEqual(
    lanes.map(({ name, from, to, words }) => [name, from, to, words]),
    [
      ["Customer +15555550142", 0, 40_000, "since 0:00"],
      ["Agent ana", 2_000, 30_000, "0:02 to 0:30"],
    ],
  );
  assert.deepEqual(
    gaps.map(({ from, to, words }) => [from, to, words]),
    [
      [0, 5_000, "Paused 0:00 to 0:05"],
      [20_000, 40_000, "Paused since 0:20"],
    ],
  );
});

test("what a party hears has a lane of its own", () => {
  const recording = recordingWith({}, { channels: [CUSTOMER, ANA, { ...ANA, channel: 3, heard: true }] });
  assert.deepEqual(
    channelLanes(first(recording), [], Date.parse(at(70))).lanes.map(({ channel, name }) => [channel, name]),
    [
      [0, "Customer +15555550142"],
      [1, "Agent ana"],
      [3, "Agent ana hears"],
    ],
  );
});

test("a file that is being written ends now, and has no gap before its start", () => {
  const recording = recordingWith({ gaps: [{ from: at(1), until: at(5) }] });
  assert.equal(channelLanes(first(recording), recording.gaps, Date.parse(at(70))).lengthMs, 60_000);
  assert.deepEqual(channelLanes(first(recording), recording.gaps, Date.parse(at(70))).gaps, []);
  const { lanes, lengthMs } = channelLanes({ ...first(recording), startedAt: null }, [], Date.parse(at(70)));
  assert.deepEqual([lanes[0]?.from, lengthMs > 0], [0, true]);
});

test("recordings have lanes in the call's timeline", () => {
  const [track] = recordingTracks(
    [recordingWith({ gaps: [{ from: at(20), until: at(25) }], state: "interrupted", note: "the disk is full", ended_at: at(60) })],
    BEGAN,
    at(100),
  );
  assert.deepEqual(
    track?.spans.map(({ kind, from, to, open }) => [kind, from, to, open]),
    [
      ["recorded", 10_000, 60_000, false],
      ["gap", 20_000, 25_000, false],
    ],
  );
  assert.deepEqual(
    [track?.when, track?.between, track?.ending],
    ["Recorded 0:10 to 1:00", ["Paused 0:20 to 0:25"], "Interrupted: the disk is full"],
  );
  const [open] = recordingTracks([recordingWith()], BEGAN, at(100));
  assert.deepEqual([open?.when, open?.ended, open?.spans[0]?.to], ["Recorded since 0:10", false, 100_000]);
  assert.equal(isRecording({ state: "paused" }), true);
});
