/**
 * The clauses of a sentence: the units in which it is translated and spoken while it is said.
 *
 *   event ─▶ parseClauses ─▶ clauses of a sentence ─▶ targetPieces, differences, totals ─▶ clauseview, lag line, trend
 */
import { fillLag, inSeconds, type LagMs, parseLag, sameLag, secondsText } from "./lag.js";
import { fields, number, text, texts } from "./shapes.js";

/** How the listener got a clause: not yet, as voice, only as text, or not at all, so that the original is all there is. */
export type Heard = "pending" | "voice" | "text" | "original";

const HEARD: readonly Heard[] = ["pending", "voice", "text", "original"];

export interface Clause {
  /** Number of the clause in its call, over both legs. */
  clause: number;
  /** Source words. */
  text: string;
  translation: string | null;
  heard: Heard;
  /** Speed of the voice; 1 is normal. */
  speed: number;
  /** The total is the time from the end of the clause's last word until the listener hears it. */
  lag: LagMs;
  /** Facts in which source and translation differ, such as "15 → 50". */
  differences: readonly string[];
}

/** Parses a list of clauses. Malformed clauses are left out; bad values of a clause are replaced by those that claim the least. */
export function parseClauses(value: unknown): Clause[] {
  return Array.isArray(value) ? value.flatMap((one) => parseClause(one) ?? []) : [];
}

function parseClause(value: unknown): Clause | undefined {
  const one = fields(value);
  const [identity, said, speed] = [count(one["clause"]), text(one["text"]), number(one["speed"])];
  if (identity === null || said === null) return undefined;
  return {
    clause: identity,
    text: said,
    translation: text(one["translation"]),
    heard: HEARD.find((known) => known === one["heard"]) ?? "pending",
    speed: speed !== null && speed > 0 ? speed : 1,
    lag: parseLag(one["lag_ms"]),
    differences: texts(one["differences"]).filter((difference) => difference.trim() !== ""),
  };
}

/** Returns an integer from 0; null for any other value. */
export function count(value: unknown): number | null {
  const parsed = number(value);
  return parsed !== null && Number.isInteger(parsed) && parsed >= 0 ? parsed : null;
}

/** Returns the clauses with what `other` alone knows about them, so that nothing that was heard or measured is forgotten. */
export function fillClauses(clauses: readonly Clause[], other: readonly Clause[]): readonly Clause[] {
  const known = new Map(other.map((clause) => [clause.clause, clause]));
  return clauses.map((clause) => {
    const more = known.get(clause.clause);
    return more ? fillClause(clause, more) : clause;
  });
}

function fillClause(clause: Clause, other: Clause): Clause {
  const isHeard = clause.heard === "pending" && other.heard !== "pending";
  return {
    ...clause,
    translation: clause.translation ?? (clause.text === other.text ? other.translation : null),
    lag: fillLag(clause.lag, other.lag),
    ...(isHeard ? { heard: other.heard, speed: other.speed } : {}),
  };
}

export function sameClauses(a: readonly Clause[], b: readonly Clause[]): boolean {
  return a === b || (a.length === b.length && a.every((clause, index) => sameClause(clause, b[index])));
}

function sameClause(a: Clause, b: Clause | undefined): boolean {
  return (
    b !== undefined &&
    (["clause", "text", "translation", "heard", "speed"] as const).every((name) => a[name] === b[name]) &&
    sameLag(a.lag, b.lag) &&
    a.differences.join("\n") === b.differences.join("\n")
  );
}

/** Splits a text after its first `words` words: the words that do not change any more, with the space after them, and the rest. */
export function splitWords(whole: string, words: number): [settled: string, unsettled: string] {
  let end = 0;
  for (const match of [...whole.matchAll(/\S+\s*/g)].slice(0, words)) end = match.index + match[0].length;
  return [whole.slice(0, end), whole.slice(end)];
}

/** A part of the shown translation. */
export interface Piece {
  clause: Clause;
  text: string;
  /** Whether the text is in the language of the speaker, because there is no translation. */
  isOriginal: boolean;
}

/** Returns what is shown of each clause in place of the translation; clauses whose translation is still to come are left out. */
export function targetPieces(clauses: readonly Clause[]): Piece[] {
  return clauses.flatMap((clause): Piece[] => {
    if (clause.translation !== null) return [{ clause, text: clause.translation, isOriginal: false }];
    return clause.heard === "original" ? [{ clause, text: clause.text, isOriginal: true }] : [];
  });
}

/** Whether clauses are to be shown instead of the translation as a whole. */
export function showsClauses(clauses: readonly Clause[], translation: string | null): boolean {
  return clauses.some((clause) => clause.translation !== null) || (translation === null && targetPieces(clauses).length > 0);
}

/** Whether more of a sentence's translation is to come. */
export function isIncomplete(sentence: { final: boolean; unrecognised: boolean; clauses: readonly Clause[] }): boolean {
  if (sentence.unrecognised) return false;
  return !sentence.final || sentence.clauses.some(({ translation, heard }) => translation === null && heard === "pending");
}

/** The total lag of a clause as text, and whether it is above the budget. */
export interface ClauseLag {
  text: string;
  isOver: boolean;
}

/** Returns the total lag of each clause in seconds, with a dash where it is unknown; none if there are not several clauses. */
export function clauseLags(clauses: readonly Clause[], budget: number): ClauseLag[] {
  if (clauses.length < 2 || clauses.every(({ lag }) => lag.total === null)) return [];
  return clauses.map(({ lag: { total } }) =>
    total === null ? { text: "–", isOver: false } : { text: inSeconds(total), isOver: total > budget },
  );
}

/** Returns the space between two clauses of a translation. */
export function clauseGap(language: string): string {
  return /^(ja|zh|yue|th|lo|km|my)\b/i.test(language) ? "" : " ";
}

/** Label and explanation of a clause that the listener did not get as voice; `undefined` for any other. */
export function heardMark(heard: Heard): { label: string; about: string } | undefined {
  if (heard === "text")
    return { label: "text only", about: "The listener got this clause only as text: it came too late to be spoken, or there is no voice." };
  if (heard === "original")
    return { label: "original only", about: "The listener got no translation of this clause; the original is all that was heard." };
  return undefined;
}

/** Returns the clause in a few words, as an explanation of its translation: what was said, the speed and the lag. */
export function clauseTitle({ text: said, speed, lag, heard }: Clause): string {
  return [
    said,
    heard === "voice" && speed !== 1 ? `spoken at ${Number(speed.toFixed(2))} times the normal speed` : "",
    lag.total === null ? "" : `${secondsText(lag.total)} after it was said`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** Returns all differences between source and translation, each once. */
export function differencesOf(clauses: readonly Clause[]): string[] {
  return [...new Set(clauses.flatMap(({ differences }) => differences))];
}

/** Explanation of `correctionsText`. */
export const CORRECTIONS_ABOUT = "Words that were changed after they had been passed on";

/** Returns the number of corrected words as text; "" for none. */
export function correctionsText(corrections: number): string {
  if (corrections === 0) return "";
  return corrections === 1 ? "1 word corrected" : `${corrections} words corrected`;
}
