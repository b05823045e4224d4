import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clause, parseClauses } from "../src/clauses.js";
import {
  applyEvent,
  applySnapshot,
  inOrder,
  isTranslationEvent,
  latestWords,
  NO_SENTENCES,
  parseTranslation,
  type Sentences,
  type TranslationEvent,
} from "../src/translations.js";

function event(change: Partial<TranslationEvent>): TranslationEvent {
  return {
    segment: 1,
    leg: "customer",
    source_language: "en",
    target_language: "es",
    text: "",
    translation: null,
    final: false,
    lag_ms: {},
    ...change,
  };
}

const HISTORY: [TranslationEvent, number][] = [
  [event({ text: "good" }), 1],
  [event({ text: "good morning" }), 2],
  [event({ text: "Good morning.", final: true, lag_ms: { stt: 210 } }), 3],
  [event({ text: "Good morning.", final: true, translation: "Buenos días.", lag_ms: { stt: 210, translate: 8 } }), 4],
  [event({ text: "Good morning.", final: true, translation: "Buenos días.", lag_ms: { stt: 210, translate: 8, tts: 40, total: 258 } }), 5],
];

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) => permutations([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]));
}

test("every order of arrival gives the same sentence", () => {
  for (const order of permutations(HISTORY)) {
    const sentences = order.reduce<Sentences>((all, [one, revision]) => applyEvent(all, one, revision), NO_SENTENCES);
    const [sentence] = inOrder(sentences);
    assert.deepEqual(sentence, {
      segment: 1,
      leg: "customer",
      sourceLanguage: "en",
      targetLanguage: "es",
      text: "Good morning.",
      translation: "Buenos días.",
      final: true,
      unrecognised: false,
      missed: false,
      committed: 0,
      corrections: 0,
      clauses: [],
      lag: { stt: 210, translate: 8, tts: 40, total: 258 },
      revision: 5,
      ages: { text: [2, 5], translation: [2, 5], clauses: [-1, 0] },
    });
  }
});

test("a late partial does not overwrite a final", () => {
  const sentences = applyEvent(applyEvent(NO_SENTENCES, event({ text: "Yes.", final: true }), 3), event({ text: "yeah" }), 9);
  assert.equal(sentences.get(1)?.text, "Yes.");
  assert.equal(sentences.get(1)?.final, true);
});

test("a missed segment gets its text later, in any order of arrival", () => {
  const missed = event({ text: "", final: true, missed: true });
  const heard = event({ text: "Good morning.", final: true });
  const partial = event({ text: "good" });
  for (const order of permutations<[TranslationEvent, number]>([
    [partial, 1],
    [missed, 2],
    [heard, 0],
  ])) {
    const sentences = order.reduce<Sentences>((all, [one, revision]) => applyEvent(all, one, revision), NO_SENTENCES);
    const sentence = sentences.get(1);
    assert.deepEqual([sentence?.text, sentence?.final, sentence?.missed], ["Good morning.", true, false]);
  }
  const sentence = applyEvent(applyEvent(NO_SENTENCES, partial, 1), missed, 2).get(1);
  assert.deepEqual([sentence?.text, sentence?.final, sentence?.missed], ["", true, true]);
});

test("an older partial does not overwrite a newer one", () => {
  const sentences = applyEvent(applyEvent(NO_SENTENCES, event({ text: "one two" }), 2), event({ text: "one" }), 1);
  assert.equal(sentences.get(1)?.text, "one two");
});

test("a snapshot fills gaps and replaces nothing newer", () => {
  const live = applyEvent(NO_SENTENCES, event({ segment: 2, text: "Now.", final: true, translation: "Ahora." }), 12);
  const all = applySnapshot(live, [
    event({ segment: 1, text: "Before.", final: true, translation: "Antes." }),
    event({ segment: 2, text: "no", final: false }),
  ]);
  assert.deepEqual(
    inOrder(all).map(({ text, translation }) => [text, translation]),
    [
      ["Before.", "Antes."],
      ["Now.", "Ahora."],
    ],
  );
});

test("an event that changes nothing returns the same map", () => {
  const [first] = HISTORY;
  assert.ok(first);
  const once = applyEvent(NO_SENTENCES, ...first);
  assert.equal(applyEvent(once, ...first), once);
});

test("malformed translation events are rejected", () => {
  for (const value of [null, 3, "x", {}, { segment: "1", text: "" }, { segment: 1 }]) assert.equal(parseTranslation(value), undefined);
  assert.equal(parseTranslation({ segment: 1, text: "", unrecognised: true })?.unrecognised, true);
  assert.equal(parseTranslation({ segment: 1, text: "", revision: 7 })?.revision, 7);
  assert.equal(parseTranslation({ segment: 1, text: "", revision: "7" })?.revision, undefined);
  assert.equal(parseTranslation({ segment: 1, text: "", final: true, missed: true })?.missed, true);
  assert.deepEqual(["partial", "translation.final", "lag", "call", "leg"].map(isTranslationEvent), [true, true, true, false, false]);
});

test("the latest words are those of the newest recognised segment", () => {
  let words: Sentences = NO_SENTENCES;
  assert.equal(latestWords(words), "");
  for (const [segment, leg, text] of [
    [2, "agent", "Claro"],
    [1, "customer", "Good morning"],
    [3, "customer", ""],
  ] as const)
    words = applyEvent(words, event({ segment, leg, text }), segment);
  assert.equal(latestWords(words), "Agent: Claro");
});

function clauses(...all: object[]): Clause[] {
  return parseClauses(all.map((one, index) => ({ clause: index + 1, text: `clause ${index + 1}`, ...one })));
}

/** A sentence that grows in clauses; the last event before the final one corrects a word and its translation. */
const GROWTH: [TranslationEvent, number][] = [
  [event({ text: "we met on monday" }), 1],
  [event({ text: "we met on monday and", committed: 4, clauses: clauses({ heard: "pending" }) }), 2],
  [event({ text: "we met on monday and", committed: 4, translation: "nos vimos", clauses: clauses({ translation: "nos vimos" }) }), 3],
  [
    event({
      text: "We met on Tuesday",
      committed: 4,
      corrections: 1,
      translation: "nos vimos el martes",
      clauses: clauses({ translation: "nos vimos el martes", heard: "voice", lag_ms: { total: 1200 } }),
    }),
    4,
  ],
  [
    event({
      text: "We met on Tuesday.",
      final: true,
      corrections: 1,
      translation: "Nos vimos el martes.",
      clauses: clauses({ translation: "Nos vimos el martes.", heard: "voice", lag_ms: { total: 1200 } }),
    }),
    5,
  ],
];

test("a sentence that grows in clauses is the same after every order of arrival", () => {
  for (const order of permutations(GROWTH)) {
    const [sentence] = inOrder(order.reduce<Sentences>((all, [one, revision]) => applyEvent(all, one, revision), NO_SENTENCES));
    assert.deepEqual(
      [sentence?.text, sentence?.translation, sentence?.corrections, sentence?.clauses.map(({ translation }) => translation)],
      ["We met on Tuesday.", "Nos vimos el martes.", 1, ["Nos vimos el martes."]],
    );
  }
});

test("while a sentence is partial, a newer translation replaces an older one, and never the other way round", () => {
  const partial = GROWTH.slice(0, 4);
  for (const order of permutations(partial)) {
    const [sentence] = inOrder(order.reduce<Sentences>((all, [one, revision]) => applyEvent(all, one, revision), NO_SENTENCES));
    assert.deepEqual(
      [sentence?.text, sentence?.translation, sentence?.committed, sentence?.clauses[0]?.translation],
      ["We met on Tuesday", "nos vimos el martes", 4, "nos vimos el martes"],
    );
  }
});

test("the translation of a final text beats that of a partial one, even from a snapshot", () => {
  const partial = event({ text: "we met", translation: "nos", clauses: clauses({ translation: "nos" }) });
  const final = event({ text: "We met.", final: true, translation: "Nos vimos.", clauses: clauses({ translation: "Nos vimos." }) });
  for (const sentences of [
    applySnapshot(applyEvent(NO_SENTENCES, partial, 9), [final]),
    applyEvent(applySnapshot(NO_SENTENCES, [final]), partial, 9),
  ]) {
    const [sentence] = inOrder(sentences);
    assert.deepEqual([sentence?.translation, sentence?.clauses[0]?.translation], ["Nos vimos.", "Nos vimos."]);
  }
});

test("an event without clauses and translation keeps those that are known", () => {
  const [sentence] = inOrder(
    GROWTH.slice(2, 4)
      .concat([[event({ text: "We met on Tuesday.", final: true }), 5]])
      .reduce<Sentences>((all, [one, revision]) => applyEvent(all, one, revision), NO_SENTENCES),
  );
  assert.deepEqual([sentence?.translation, sentence?.clauses.length, sentence?.final], ["nos vimos el martes", 1, true]);
});

test("what the listener has got and its lag are not forgotten", () => {
  const pending = event({ text: "a", final: true, clauses: clauses({ translation: "b" }) });
  const heard = event({ text: "a", final: true, clauses: clauses({ translation: "b", heard: "text", lag_ms: { total: 900 } }) });
  for (const sentences of [
    applySnapshot(applyEvent(NO_SENTENCES, pending, 7), [heard]),
    applyEvent(applySnapshot(NO_SENTENCES, [heard]), pending, 7),
  ]) {
    const [clause] = sentences.get(1)?.clauses ?? [];
    assert.deepEqual([clause?.heard, clause?.lag.total], ["text", 900]);
  }
});

test("an event that changes only a clause is a change, and its replay is none", () => {
  const before = applyEvent(NO_SENTENCES, event({ text: "a", clauses: clauses({}) }), 1);
  const heard: [TranslationEvent, number] = [event({ text: "a", clauses: clauses({ heard: "voice" }) }), 2];
  const after = applyEvent(before, ...heard);
  assert.notEqual(after, before);
  assert.equal(applyEvent(after, ...heard), after);
});

test("bad values of clauses and counts are dropped", () => {
  const parsed = parseTranslation({ segment: 1, text: "a b", committed: -1, corrections: "2", clauses: "none", lag_ms: { total: "fast" } });
  assert.deepEqual(
    [parsed?.committed, parsed?.corrections, parsed?.clauses, parsed?.lag_ms.total],
    [undefined, undefined, undefined, null],
  );
  const good = parseTranslation({ segment: 1, text: "a b", committed: 1, corrections: 2, clauses: [{ clause: 17, text: "a" }] });
  assert.deepEqual([good?.committed, good?.corrections, good?.clauses?.length], [1, 2, 1]);
  assert.equal(parseTranslation({ segment: 1, text: "a", committed: 1.5 })?.committed, undefined);
  const old = applyEvent(NO_SENTENCES, event({ text: "a" }), 1).get(1);
  assert.deepEqual([old?.committed, old?.corrections, old?.clauses], [0, 0, []]);
});
