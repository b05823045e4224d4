/**
 * The sentences of one call. Their states may arrive in any order.
 *
 *   partial* ─▶ final ─▶ translation ─▶ lag      and, at any time, a snapshot of everything
 *
 * A final text never becomes partial again. A segment that was missed live may get a text later, but never loses it. An older event
 * never replaces a newer one of the same segment. The translation and the clauses grow and may be corrected while the text is partial;
 * they follow the same rule, each by the newest event that has it. Lag stages are filled in and stay, also those of the clauses.
 * Therefore replays, late answers and snapshots may be applied in any order.
 */

import { type Clause, count, fillClauses, parseClauses, sameClauses } from "./clauses.js";
import { fillLag, type LagMs, NO_LAG, parseLag, sameLag } from "./lag.js";
import { fields } from "./shapes.js";

/** An event, as the API sends it. */
export interface TranslationEvent {
  segment: number;
  /** Number of this state of the segment, counted from 1; absent in what an older server has stored. */
  revision?: number;
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
  /** Number of words of the text that do not change any more. */
  committed?: number;
  /** Number of committed words that were changed afterwards. */
  corrections?: number;
  /** The clauses in order, as parsed. */
  clauses?: readonly Clause[];
  lag_ms: Partial<LagMs>;
}

/** Age of a value: how much its event knew of the text, then the event's order number. */
type Age = readonly [rank: number, revision: number];

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
  /** Number of words of the text that do not change any more; of importance while the text is partial. */
  committed: number;
  /** Number of committed words that were changed afterwards. */
  corrections: number;
  /** Empty if the segment was not cut into clauses. */
  clauses: readonly Clause[];
  lag: LagMs;
  /** Order number of the newest applied event; 0 if the sentence is from a snapshot. */
  revision: number;
  /** Age of what is shown; an event replaces only what is older. */
  ages: { text: Age; translation: Age; clauses: Age };
}

export type Sentences = ReadonlyMap<number, Sentence>;

export const NO_SENTENCES: Sentences = new Map();

const NEVER: Age = [-1, 0];

/**
 * Returns the sentences after one event. `revision` orders the states of a segment; 0 marks a snapshot, which is older than any event.
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

function merge(known: Sentence | undefined, event: TranslationEvent, revision: number): Sentence {
  const before = known ?? unheard(event);
  const age: Age = [rank(event), revision];
  const { ages } = before;
  const [translation, clauses] = [event.translation ?? null, event.clauses ?? []];
  const takeText = isNewer(age, ages.text);
  const takeTranslation = translation !== null && isNewer(age, ages.translation);
  const takeClauses = clauses.length > 0 && isNewer(age, ages.clauses);
  const after: Sentence = {
    ...before,
    ...(takeText ? textOf(event) : {}),
    translation: takeTranslation ? translation : before.translation,
    clauses: takeClauses ? fillClauses(clauses, before.clauses) : fillClauses(before.clauses, clauses),
    lag: mergeLag(before.lag, event.lag_ms, revision > before.revision),
    revision: Math.max(before.revision, revision),
    ages: {
      text: takeText ? age : ages.text,
      translation: takeTranslation ? age : ages.translation,
      clauses: takeClauses ? age : ages.clauses,
    },
  };
  return known && same(known, after) ? known : after;
}

/** Returns the segment of an event before anything is known of its words. */
function unheard(event: TranslationEvent): Sentence {
  return {
    segment: event.segment,
    leg: event.leg,
    sourceLanguage: event.source_language,
    targetLanguage: event.target_language,
    text: "",
    translation: null,
    final: false,
    unrecognised: false,
    missed: false,
    committed: 0,
    corrections: 0,
    clauses: [],
    lag: NO_LAG,
    revision: 0,
    ages: { text: NEVER, translation: NEVER, clauses: NEVER },
  };
}

/** Returns the fields that belong to the text and are replaced together with it. */
function textOf(event: TranslationEvent): Pick<Sentence, "text" | "final" | "unrecognised" | "missed" | "committed" | "corrections"> {
  const { text, final, unrecognised = false, missed = false, committed = 0, corrections = 0 } = event;
  return { text, final, unrecognised, missed, committed, corrections };
}

/** Returns how much is known of a sentence's text, from 0 for a partial text to 2 for a recognised final. */
function rank(known: { final: boolean; missed?: boolean }): number {
  if (!known.final) return 0;
  return known.missed ? 1 : 2;
}

/** A final text beats any partial one and a missed final; among equals the newer wins. */
function isNewer([rank, revision]: Age, [otherRank, otherRevision]: Age): boolean {
  return rank === otherRank ? revision > otherRevision : rank > otherRank;
}

function mergeLag(before: LagMs, event: Partial<LagMs> | undefined, newer: boolean): LagMs {
  return newer ? fillLag({ ...NO_LAG, ...event }, before) : fillLag(before, event);
}

function same(a: Sentence, b: Sentence): boolean {
  return (
    (["text", "final", "unrecognised", "missed", "committed", "corrections", "translation", "revision"] as const).every(
      (name) => a[name] === b[name],
    ) &&
    (["text", "translation", "clauses"] as const).every((name) => a.ages[name] === b.ages[name]) &&
    sameClauses(a.clauses, b.clauses) &&
    sameLag(a.lag, b.lag)
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
    ...(typeof event.revision === "number" ? { revision: event.revision } : {}),
    ...(typeof event.call_id === "string" ? { call_id: event.call_id } : {}),
    leg: event.leg ?? "customer",
    source_language: event.source_language ?? "",
    target_language: event.target_language ?? "",
    text: event.text,
    translation: event.translation ?? null,
    final: event.final === true,
    unrecognised: event.unrecognised === true,
    missed: event.missed === true,
    ...parseProgress(value),
    lag_ms: parseLag(event.lag_ms),
  };
}

/** Parses how far a segment has come; bad values and values that say nothing are left out. */
export function parseProgress(value: unknown): Pick<TranslationEvent, "committed" | "corrections" | "clauses"> {
  const event = fields(value);
  const [committed, corrections] = [count(event["committed"]), count(event["corrections"])];
  const clauses = parseClauses(event["clauses"]);
  return {
    ...(committed !== null ? { committed } : {}),
    ...(corrections !== null ? { corrections } : {}),
    ...(clauses.length > 0 ? { clauses } : {}),
  };
}

/** Whether this is the name of a translation event, with or without its prefix: `final` or `translation.final`. */
export function isTranslationEvent(name: string): boolean {
  return ["partial", "final", "translation", "lag"].includes(name.replace(/^translation\./, ""));
}
