import assert from "node:assert/strict";
import { test } from "node:test";
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
      lag: { stt: 210, translate: 8, tts: 40, total: 258 },
      revision: 5,
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
