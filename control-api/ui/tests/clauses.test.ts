import assert from "node:assert/strict";
import { test } from "node:test";
import {
  clauseGap,
  clauseLags,
  clauseTitle,
  correctionsText,
  differencesOf,
  heardMark,
  isIncomplete,
  parseClauses,
  showsClauses,
  splitWords,
  targetPieces,
} from "../src/clauses.js";

const FULL = {
  clause: 17,
  text: "we met on Monday",
  translation: "nos vimos el lunes",
  heard: "voice",
  speed: 1.1,
  lag_ms: { stt: 310, translate: 140, tts: 90, total: 1600 },
  differences: ["15 → 50", "Anna → missing"],
};

test("a clause is parsed with all its fields", () => {
  const { lag_ms: lag, ...rest } = FULL;
  assert.deepEqual(parseClauses([FULL]), [{ ...rest, lag }]);
  assert.deepEqual(parseClauses([{ clause: 1, text: "a" }]), [
    {
      clause: 1,
      text: "a",
      translation: null,
      heard: "pending",
      speed: 1,
      lag: { stt: null, translate: null, tts: null, total: null },
      differences: [],
    },
  ]);
});

test("malformed clauses are left out, and bad values claim nothing", () => {
  assert.deepEqual(parseClauses([null, 3, "x", {}, { clause: "1", text: "a" }, { clause: 1 }, { clause: 1.5, text: "a" }]), []);
  for (const value of [undefined, null, {}, "x"]) assert.deepEqual(parseClauses(value), []);
  const [bad] = parseClauses([
    { ...FULL, translation: 3, heard: "sung", speed: -1, lag_ms: { total: -5, stt: Number.NaN, tts: "9" }, differences: ["", 4, "1 → 2"] },
  ]);
  assert.deepEqual(
    [bad?.translation, bad?.heard, bad?.speed, bad?.lag, bad?.differences],
    [null, "pending", 1, { stt: null, translate: null, tts: null, total: null }, ["1 → 2"]],
  );
});

test("a text is split after its settled words", () => {
  assert.deepEqual(splitWords("we met on", 2), ["we met ", "on"]);
  assert.deepEqual(splitWords("we  met\non", 2), ["we  met\n", "on"]);
  assert.deepEqual(splitWords("we met", 0), ["", "we met"]);
  assert.deepEqual(splitWords("we met", 9), ["we met", ""]);
  assert.deepEqual(splitWords("", 3), ["", ""]);
});

test("translated clauses are shown as they come; a lost one is shown in the original", () => {
  const clauses = parseClauses([
    { clause: 1, text: "one", translation: "uno", heard: "voice" },
    { clause: 2, text: "two", heard: "original" },
    { clause: 3, text: "three" },
  ]);
  assert.deepEqual(
    targetPieces(clauses).map(({ text, isOriginal }) => [text, isOriginal]),
    [
      ["uno", false],
      ["two", true],
    ],
  );
  assert.equal(showsClauses(clauses, "uno"), true);
});

test("the translation as a whole is shown if the clauses have none", () => {
  const untranslated = parseClauses([{ clause: 1, text: "one" }]);
  assert.equal(showsClauses(untranslated, "uno"), false);
  assert.equal(showsClauses([], null), false);
  const lost = parseClauses([{ clause: 1, text: "one", heard: "original" }]);
  assert.deepEqual([showsClauses(lost, null), showsClauses(lost, "uno")], [true, false]);
});

test("more is to come until the text is final and every clause is translated or lost", () => {
  const all = (heard: string, translation: string | null = null) => parseClauses([{ clause: 1, text: "a", heard, translation }]);
  const incomplete = (final: boolean, clauses = all("pending"), unrecognised = false) => isIncomplete({ final, unrecognised, clauses });
  assert.deepEqual(
    [incomplete(false, all("voice", "b")), incomplete(true), incomplete(true, all("original")), incomplete(true, all("pending", "b"))],
    [true, true, false, false],
  );
  assert.deepEqual([incomplete(true, []), incomplete(false, [], true)], [false, false]);
});

test("only clauses that were not heard as voice are marked", () => {
  assert.deepEqual(
    (["pending", "voice", "text", "original"] as const).map((heard) => heardMark(heard)?.label),
    [undefined, undefined, "text only", "original only"],
  );
});

test("the title of a clause names its words, speed and lag", () => {
  const [clause] = parseClauses([FULL]);
  assert.ok(clause);
  assert.equal(clauseTitle(clause), "we met on Monday, spoken at 1.1 times the normal speed, 1.6\u00a0s after it was said");
  assert.match(clauseTitle({ ...clause, speed: 1.100000023841858 }), /at 1\.1 times/);
  assert.equal(clauseTitle({ ...clause, heard: "text", lag: { ...clause.lag, total: null } }), "we met on Monday");
});

test("each difference is named once", () => {
  const clauses = parseClauses([FULL, { ...FULL, clause: 18, differences: ["Anna → missing", "3 → 4"] }]);
  assert.deepEqual(differencesOf(clauses), ["15 → 50", "Anna → missing", "3 → 4"]);
});

test("the lag of several clauses is in seconds, and what exceeds the budget is marked", () => {
  const totals = (...all: (number | null)[]) =>
    clauseLags(parseClauses(all.map((total, clause) => ({ clause, text: "a", lag_ms: { total } }))), 3_000);
  assert.deepEqual(totals(1180, null, 3000, 3420), [
    { text: "1.2", isOver: false },
    { text: "–", isOver: false },
    { text: "3.0", isOver: false },
    { text: "3.4", isOver: true },
  ]);
  assert.deepEqual([totals(1180), totals(null, null), totals()], [[], [], []]);
});

test("corrections are counted in words", () => {
  assert.deepEqual([0, 1, 2].map(correctionsText), ["", "1 word corrected", "2 words corrected"]);
});

test("clauses are joined by a space, except in languages without spaces", () => {
  assert.deepEqual(["es", "de-AT", "ja", "zh-Hant", "lt", ""].map(clauseGap), [" ", " ", "", "", " ", " "]);
});
