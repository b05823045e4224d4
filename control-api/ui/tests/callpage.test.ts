import assert from "node:assert/strict";
import { test } from "node:test";
import { isOwn, isSame, parseDetail, parseEvent, parseNote, parseOutcome } from "../src/callpage/detail.js";
import {
  type Line,
  lineAt,
  matchingSegments,
  mergeLines,
  offsetOf,
  parseSegment,
  splitMatches,
  withUnheard,
} from "../src/callpage/lines.js";
import { timeline } from "../src/callpage/timeline.js";
import { legTracks } from "../src/callpage/tracks.js";
import { endingText, parseEnding } from "../src/legs.js";
import { applyEvent, NO_SENTENCES, parseTranslation } from "../src/translations.js";

const BEGAN = "2026-11-22T10:00:00Z";

function line(segment: number, text: string, change: object = {}): Line {
  const parsed = parseSegment({
    segment,
    text,
    leg: "customer",
    language: "en",
    translation: null,
    version: 1,
    source: "live",
    started_at: `2026-11-22T10:00:${String(segment).padStart(2, "0")}Z`,
    ...change,
  });
  assert.ok(parsed);
  return parsed;
}

function liveSentence(segment: number, text: string, translation: string | null = null) {
  const event = parseTranslation({
    segment,
    call_id: "1",
    leg: "customer",
    source_language: "en",
    target_language: "es",
    text,
    translation,
    final: true,
    lag_ms: {},
  });
  assert.ok(event);
  return applyEvent(NO_SENTENCES, event, 1);
}

test("the newest of several versions is shown, whatever their order", () => {
  const versions = [line(1, "old"), line(1, "new", { version: 2, source: "recording" })];
  for (const order of [versions, [...versions].reverse()])
    assert.deepEqual(
      mergeLines(order, NO_SENTENCES).map(({ text }) => text),
      ["new"],
    );
});

test("a live sentence replaces a stored one, unless that is from the recording", () => {
  assert.equal(mergeLines([line(1, "stored")], liveSentence(1, "live"))[0]?.text, "live");
  assert.equal(mergeLines([line(1, "stored", { source: "recording" })], liveSentence(1, "live"))[0]?.text, "stored");
  const [kept] = mergeLines([line(1, "stored", { translation: "guardado" })], liveSentence(1, "stored"));
  assert.deepEqual([kept?.translation, kept?.startedAt], ["guardado", "2026-11-22T10:00:01Z"]);
});

test("clauses of the transcript, of the live recognition and of the feed are kept", () => {
  const clauses = [{ clause: 1, text: "stored", translation: "guardado", differences: ["15 → 50"] }];
  assert.deepEqual(line(1, "stored", { clauses, corrections: 2 }).clauses[0]?.differences, ["15 → 50"]);
  const heard = line(1, "stored", { clauses, corrections: 2 });
  const [known] = withUnheard([line(1, "stored")], [heard]);
  assert.deepEqual([known?.clauses.length, known?.corrections], [1, 2]);
  const [again] = withUnheard([line(1, "stored", { version: 2, source: "recording" })], [heard]);
  assert.deepEqual(again?.clauses, []);
  assert.equal(mergeLines([heard], liveSentence(1, "stored"))[0]?.clauses.length, 1);
});

test("lines are in the order in which they were said", () => {
  const lines = [line(2, "first", { started_at: "2026-11-22T10:00:01Z" }), line(1, "second", { started_at: "2026-11-22T10:00:05Z" })];
  assert.deepEqual(
    mergeLines(lines, NO_SENTENCES).map(({ text }) => text),
    ["first", "second"],
  );
});

test("a missed line keeps its place until the recording has been transcribed", () => {
  const missed = parseSegment({
    segment: 2,
    text: "",
    leg: "agent",
    final: true,
    missed: true,
    began_at: "2026-11-22T10:00:02Z",
    lag_ms: {},
  });
  assert.ok(missed);
  assert.deepEqual([missed.missed, missed.unrecognised, missed.startedAt], [true, false, "2026-11-22T10:00:02Z"]);
  const linesWith = (transcript: Line[]) =>
    mergeLines(withUnheard(transcript, [missed, line(1, "one")]), NO_SENTENCES).map((one) => [one.text, one.missed]);
  assert.deepEqual(linesWith([line(1, "one"), line(3, "three")]), [
    ["one", false],
    ["", true],
    ["three", false],
  ]);
  assert.deepEqual(linesWith([line(1, "one"), line(2, "two", { source: "recording" }), line(3, "three")]), [
    ["one", false],
    ["two", false],
    ["three", false],
  ]);
});

test("a line has a position in the recording if both times are known", () => {
  assert.equal(offsetOf(line(7, "x"), BEGAN), 7);
  assert.equal(offsetOf(line(7, "x", { started_at: "2026-11-22T09:59:59Z" }), BEGAN), 0);
  assert.equal(offsetOf(line(7, "x", { started_at: null }), BEGAN), null);
  assert.equal(offsetOf(line(7, "x"), null), null);
});

test("the current line is the last one that has started", () => {
  assert.deepEqual(
    [0, 1, 4.6, 9].map((position) => lineAt([1, null, 5], position)),
    [-1, 0, 2, 2],
  );
});

test("a search ignores case and accents, and marks its matches", () => {
  assert.deepEqual(splitMatches("Mañana, mañana", "MANANA"), ["", "Mañana", ", ", "mañana", ""]);
  assert.deepEqual(splitMatches("nothing here", ""), ["nothing here"]);
  assert.deepEqual(splitMatches("abcabc", "abc bca"), ["", "abc", "", "abc", ""]);
  assert.equal(splitMatches("<b>x</b>", "b").join(""), "<b>x</b>");
  const lines = [line(1, "the order"), line(2, "is late", { translation: "el pedido tarde" }), line(3, "order, late")];
  assert.deepEqual(
    [
      matchingSegments(lines, "order late"),
      matchingSegments(lines, "pedido the"),
      matchingSegments(lines, "zebra"),
      matchingSegments(lines, " "),
    ],
    [[3], [1, 2], [], []],
  );
});

test("the parts of a long recording are in order", () => {
  const parts = [1, 2].map((part) => ({
    part,
    state: "finished",
    note: null,
    duration_ms: 1000,
    started_at: `2026-11-23T10:00:0${part}Z`,
  }));
  const detail = parseDetail({ id: "c", status: "ended", recording: parts[0], recording_parts: parts });
  assert.deepEqual(
    detail?.parts.map(({ part, startedAt }) => [part, startedAt]),
    [
      [1, "2026-11-23T10:00:01Z"],
      [2, "2026-11-23T10:00:02Z"],
    ],
  );
  assert.deepEqual(
    parseDetail({ id: "c", status: "ended", recording: parts[0] }, "/api/calls/c/recording")?.parts.map(({ part, url }) => [part, url]),
    [[1, "/api/calls/c/recording"]],
  );
});

test("a call without recording, legs or events is still a call", () => {
  const detail = parseDetail({ id: "1", status: "failed", to: "+34910000001" });
  assert.deepEqual([detail?.parts, detail?.times, detail?.events, detail?.call.ended_reason], [[], [], [], null]);
  assert.equal(parseDetail({ id: "1", status: "cause" }), undefined);
  assert.equal(parseDetail({ id: "1", status: "ended", cause: "busy" })?.call.ended_reason, "busy");
});

test("events become sentences, except quality and words, which are shown elsewhere", () => {
  const events = [
    { type: "call.created", at: BEGAN },
    { type: "call.dtmf", at: "2026-11-22T10:01:05Z", role: "customer", digit: "4" },
    { type: "call.quality" },
    { type: "translation.final" },
    { type: "call.status", at: "2026-11-22T10:02:00Z", status: "failed", cause: "busy" },
    { type: "call.moon_phase", at: null },
    {
      type: "call.flow",
      at: BEGAN,
      role: "agent",
      flow: { incoming: { state: "stopped", detail: "no packet for 2 s" }, outgoing: { state: "sending" } },
    },
  ].map((body, index) => ({ id: index, type: body.type, at: body.at ?? null, body }));
  assert.deepEqual(
    timeline(events, BEGAN).map(({ after, tone, text, detail }) => [after, tone, text, detail]),
    [
      ["0:00", "idle", "The call was created", ""],
      ["1:05", "idle", "Customer pressed 4", ""],
      ["2:00", "bad", "The call failed", "The line is busy."],
      ["", "idle", "moon phase", ""],
      ["0:00", "bad", "Agent: sound has stopped, sending sound", "no packet for 2 s"],
    ],
  );
});

test("an event from both the stream and the store is recognised as the same", () => {
  const event = (body: object) => {
    const parsed = parseEvent({ type: "call.leg", at: BEGAN, leg: 1, state: "ringing", ...body });
    assert.ok(parsed);
    return parsed;
  };
  assert.equal(isSame(event({ id: 4 }), event({})), true);
  assert.equal(isSame(event({}), event({ leg: 2 })), false);
  assert.equal(isSame(event({ id: 4 }), event({ id: 5 })), false);
});

test("the newest outcome comes first", () => {
  const { outcome, history } = parseOutcome({
    outcome: "Sale",
    history: [
      { outcome: "Call back", at: "2026-11-22T10:00:00Z" },
      { outcome: "Sale", set_by: { name: "Ana" }, at: "2026-11-22T11:00:00Z" },
      {},
    ],
  });
  assert.deepEqual(
    [outcome, history.map((entry) => [entry.outcome, entry.setBy])],
    [
      "Sale",
      [
        ["Sale", "Ana"],
        ["Call back", ""],
      ],
    ],
  );
  const soon = parseOutcome({
    outcome: "Sale",
    history: [
      { outcome: "Call back", at: "2026-11-22T10:00:00.2Z" },
      { outcome: "Sale", at: "2026-11-22T10:00:00.245Z" },
    ],
  });
  assert.deepEqual(
    soon.history.map((entry) => entry.outcome),
    ["Sale", "Call back"],
    "times with omitted trailing zeros",
  );
});

test("a note belongs to its author by id, else by name or email", () => {
  const me = { userId: "01993f2e-7b11-7d4e-9c39-5b1f0a6f2a01", name: "Ana", email: "ana@example.com" };
  const own = (author: unknown): boolean => {
    const note = parseNote({ id: "n", text: "x", author });
    assert.ok(note);
    return isOwn(note, me);
  };
  assert.deepEqual([{ id: me.userId, name: "Else" }, me.userId, "Ana", "ana@example.com"].map(own), [true, true, true, true]);
  assert.deepEqual([{ id: "2", name: "Ana" }, "Bob", null].map(own), [false, false, false]);
});

const at = (seconds: number): string => new Date(Date.parse(BEGAN) + seconds * 1000).toISOString();

function tracksOf(legs: object[], events: object[]) {
  const detail = parseDetail({
    id: "1",
    status: "ended",
    created_at: BEGAN,
    ended_at: at(100),
    legs: legs.map((leg) => ({ state: "ended", codec: null, created_at: BEGAN, answered_at: at(10), ended_at: at(100), ...leg })),
    events: events.map((event, id) => ({ id, call_id: "1", ...event })),
  });
  assert.ok(detail);
  return legTracks(detail.times, detail.events, detail.legs, BEGAN, at(100));
}

test("a track shows ringing and talking, with hold and mute within it", () => {
  const { until, tracks } = tracksOf(
    [{ leg: 1, role: "customer", peer: "+15555550142" }],
    [
      { type: "call.seat", at: at(50), leg: 1, role: "customer", held: false, muted: true },
      { type: "call.seat", at: at(20), leg: 1, role: "customer", held: true, muted: false },
      { type: "call.seat", at: at(30), leg: 1, role: "customer", held: true, muted: true },
      { type: "call.seat", at: at(40), leg: 2, role: "agent", held: true, muted: true },
    ],
  );
  assert.equal(until, 100_000);
  const spans = tracks[0]?.spans.map(({ kind, from, to, open }) => [kind, from / 1000, to / 1000, open]);
  assert.deepEqual(spans, [
    ["ring", 0, 10, false],
    ["talk", 10, 100, false],
    ["held", 20, 50, false],
    ["muted", 30, 100, false],
  ]);
  assert.deepEqual([tracks[0]?.name, tracks[0]?.when], ["Customer +15555550142", "In the call 0:10 to 1:40, 1:30"]);
  assert.deepEqual(tracks[0]?.between, ["On hold 0:20 to 0:50", "Muted 0:30 to 1:40"]);
});

test("a supervisor's lane shows the modes and the listener of a whisper", () => {
  const { tracks } = tracksOf(
    [
      { leg: 2, role: "agent", peer: "ana" },
      { leg: 3, role: "supervisor", peer: "mei", ended_at: null, state: "answered" },
    ],
    [
      { type: "call.seat", at: at(10), leg: 3, role: "supervisor", supervises: "listen" },
      { type: "call.seat", at: at(40), leg: 3, role: "supervisor", supervises: { whisper: 2 } },
    ],
  );
  assert.deepEqual(tracks[1]?.between, ["Listens 0:10 to 0:40", "Whispers to Agent ana since 0:40"]);
  assert.deepEqual([tracks[1]?.ended, tracks[1]?.ending, tracks[1]?.spans.at(-1)?.open], [false, "", true]);
});

test("a leg that was never answered shows its ringing and its refusal", () => {
  const ending = { cause: "busy", by: "far_end", sip_status: 486, q850: 17, text: "Busy Here" };
  const { tracks } = tracksOf(
    [{ leg: 3, role: "agent", peer: "mei", created_at: at(30), answered_at: null, ended_at: at(36), ending }],
    [],
  );
  assert.deepEqual(
    tracks[0]?.spans.map(({ kind, from, to }) => [kind, from, to]),
    [["ring", 30_000, 36_000]],
  );
  assert.equal(tracks[0]?.when, "Rang 0:30 to 0:36, never answered");
  assert.equal(tracks[0]?.ending, "Refused: the line is busy (SIP 486, Q.850 17, Busy Here)");
});

test("an ending says who ended the leg, and malformed endings are ignored", () => {
  assert.equal(endingText(parseEnding({ by: "far_end", cause: "normal" }), true), "Hung up");
  assert.equal(endingText(parseEnding({ by: "request", cause: "requested" }), true), "Ended by request: the call was ended here");
  assert.equal(endingText(parseEnding({ by: "tandem", cause: "media_timeout" }), true), "Ended by Tandem: the sound stopped arriving");
  assert.equal(endingText(parseEnding({ by: "far_end", cause: "cancelled", q850: 16 }), false), "Gave up before an answer (Q.850 16)");
  assert.equal(
    endingText(parseEnding({ by: "tandem", cause: "busy", sip_status: 486, q850: 17 }), false),
    "Ended by Tandem: the line is busy (SIP 486, Q.850 17)",
  );
  for (const odd of [null, "normal", {}, { by: 7 }]) assert.equal(endingText(parseEnding(odd), true), "");
});
