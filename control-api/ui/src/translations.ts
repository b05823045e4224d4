/**
 * The sentences of one call. Their states may arrive in any order.
 *
 *   partial* ─▶ final ─▶ translation ─▶ lag      and, at any time, a snapshot of everything
 *
 * A final text never becomes partial again. A segment that was missed live may get a text later, but never loses it. An older event
 * never replaces a newer one of the same segment. Lag stages are filled in and stay. Therefore replays, late answers and snapshots may
 * be applied in any order.
 */

/** Delay of each stage in ms; null if unknown. */
export interface LagMs {
  stt: number | null;
  translate: number | null;
  tts: number | null;
  total: number | null;
}

/** An event, as the API sends it. */
export interface TranslationEvent {
  segment: number;
  call_id?: string;
  leg: string;
  source_language: string;
  target_language: string;
  text: string;
  translation: string | null;
  final: boolean;
  unrecognised?: boolean;
  /** Whether live recognition missed the segment. */
  missed?: boolean;
  lag_ms: Partial<LagMs>;
}

/** One segment of a call. */
export interface Sentence {
  segment: number;
  leg: string;
  sourceLanguage: string;
  targetLanguage: string;
  text: string;
  translation: string | null;
  final: boolean;
  unrecognised: boolean;
  missed: boolean;
  lag: LagMs;
  /** Order number of the newest applied event; 0 if the sentence is from a snapshot. */
  revision: number;
}

export type Sentences = ReadonlyMap<number, Sentence>;

export const NO_SENTENCES: Sentences = new Map();

const NO_LAG: LagMs = { stt: null, translate: null, tts: null, total: null };

/**
 * Returns the sentences after one event. `revision` orders events: the SSE id or, for events without one, a number that grows with each
 * arrival. 0 marks a snapshot, which is older than any event.
 */
export function applyEvent(sentences: Sentences, event: TranslationEvent, revision: number): Sentences {
  const before = sentences.get(event.segment);
  const after = merge(before, event, revision);
  if (after === before) return sentences;
  const next = new Map(sentences);
  next.set(event.segment, after);
  return next;
}

/** Returns the sentences with a snapshot merged in. */
export function applySnapshot(sentences: Sentences, events: readonly TranslationEvent[]): Sentences {
  return events.reduce((all, event) => applyEvent(all, event, 0), sentences);
}

function merge(before: Sentence | undefined, event: TranslationEvent, revision: number): Sentence {
  if (!before) {
    return {
      segment: event.segment,
      leg: event.leg,
      sourceLanguage: event.source_language,
      targetLanguage: event.target_language,
      text: event.text,
      translation: event.translation ?? null,
      final: event.final,
      unrecognised: event.unrecognised ?? false,
      missed: event.missed ?? false,
      lag: mergeLag(NO_LAG, event.lag_ms, true),
      revision,
    };
  }
  const newer = revision > before.revision;
  // A final text beats any partial one and a missed final; among equals the newer wins.
  const takeText = rank(event) === rank(before) ? newer : rank(event) > rank(before);
  const translation = event.translation ?? null;
  const takeTranslation = translation !== null && (newer || before.translation === null);
  const after: Sentence = {
    ...before,
    ...(takeText ? { text: event.text, final: event.final, unrecognised: event.unrecognised ?? false, missed: event.missed ?? false } : {}),
    translation: takeTranslation ? translation : before.translation,
    lag: mergeLag(before.lag, event.lag_ms, newer),
    revision: Math.max(before.revision, revision),
  };
  return same(before, after) ? before : after;
}

/** Returns how much is known of a sentence's text, from 0 for a partial text to 2 for a recognised final. */
function rank(known: { final: boolean; missed?: boolean }): number {
  if (!known.final) return 0;
  return known.missed ? 1 : 2;
}

function mergeLag(before: LagMs, event: Partial<LagMs> | undefined, newer: boolean): LagMs {
  const stage = (name: keyof LagMs): number | null => {
    const value = event?.[name] ?? null;
    return before[name] === null || (newer && value !== null) ? value : before[name];
  };
  return { stt: stage("stt"), translate: stage("translate"), tts: stage("tts"), total: stage("total") };
}

function same(a: Sentence, b: Sentence): boolean {
  return (
    a.text === b.text &&
    a.final === b.final &&
    a.unrecognised === b.unrecognised &&
    a.missed === b.missed &&
    a.translation === b.translation &&
    a.revision === b.revision &&
    (["stt", "translate", "tts", "total"] as const).every((stage) => a.lag[stage] === b.lag[stage])
  );
}

/** Returns the sentences in the order in which they started. */
export function inOrder(sentences: Sentences): Sentence[] {
  return [...sentences.values()].sort((a, b) => a.segment - b.segment);
}

/** Returns the latest recognised sentence with its speaker; "" if there is none. */
export function latestWords(sentences: Sentences): string {
  let last: Sentence | undefined;
  for (const one of sentences.values()) if (one.text !== "" && one.segment > (last?.segment ?? -1)) last = one;
  return last ? `${last.leg === "agent" ? "Agent" : "Customer"}: ${last.text}` : "";
}

/** Parses an API object; `undefined` if it is not a translation event. */
export function parseTranslation(value: unknown): TranslationEvent | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const event = value as Partial<TranslationEvent>;
  if (typeof event.segment !== "number" || typeof event.text !== "string") return undefined;
  return {
    segment: event.segment,
    ...(typeof event.call_id === "string" ? { call_id: event.call_id } : {}),
    leg: event.leg ?? "customer",
    source_language: event.source_language ?? "",
    target_language: event.target_language ?? "",
    text: event.text,
    translation: event.translation ?? null,
    final: event.final === true,
    unrecognised: event.unrecognised === true,
    missed: event.missed === true,
    lag_ms: event.lag_ms ?? {},
  };
}

/** Whether this is the name of a translation event, with or without its prefix: `final` or `translation.final`. */
export function isTranslationEvent(name: string): boolean {
  return ["partial", "final", "translation", "lag"].includes(name.replace(/^translation\./, ""));
}
