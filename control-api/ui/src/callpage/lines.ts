/**
 * The transcript of a call: the stored segments (with times and versions) and the live sentences of the feed, as one list.
 *
 *   stored segments ─┐
 *                    ├─▶ lines, in the order of segments ─▶ position in the recording, search matches
 *   live sentences ──┘
 */
import type { Clause } from "../clauses.js";
import { compareTimes, fields, number, text } from "../shapes.js";
import { parseProgress, type Sentences } from "../translations.js";

export interface Line {
  segment: number;
  leg: string;
  language: string;
  targetLanguage: string;
  text: string;
  translation: string | null;
  final: boolean;
  unrecognised: boolean;
  /** Live recognition missed the segment, and it has not been transcribed from the recording yet. */
  missed: boolean;
  /** Number of words of the text that do not change any more; of importance while the text is partial. */
  committed: number;
  /** Number of committed words that were changed afterwards. */
  corrections: number;
  /** Empty if the segment was not cut into clauses, or was transcribed again. */
  clauses: readonly Clause[];
  /** 1 for the live transcription; higher after the segment was transcribed again. */
  version: number;
  source: "live" | "recording";
  startedAt: string | null;
}

/** Parses a stored segment; `undefined` if it is malformed. */
export function parseSegment(value: unknown): Line | undefined {
  const one = fields(value);
  const segment = number(one["segment"]);
  const said = text(one["text"]);
  if (segment === null || said === null) return undefined;
  const missed = one["missed"] === true;
  const { committed = 0, corrections = 0, clauses = [] } = parseProgress(value);
  return {
    segment,
    leg: text(one["leg"]) ?? "customer",
    language: text(one["language"]) ?? text(one["source_language"]) ?? "",
    targetLanguage: text(one["target_language"]) ?? "",
    text: said,
    translation: text(one["translation"]),
    final: one["final"] !== false,
    unrecognised: one["unrecognised"] === true || (said === "" && one["final"] !== false && !missed),
    missed,
    committed,
    corrections,
    clauses,
    version: number(one["version"]) ?? 1,
    source: one["source"] === "recording" ? "recording" : "live",
    startedAt: text(one["started_at"]) ?? text(one["began_at"]),
  };
}

/**
 * Returns all stored segments. The transcript holds segments with a final text only; those that were missed or not recognised are taken
 * from `heard`, the sentences of the live recognition, and so are clauses that the transcript does not have.
 */
export function withUnheard(transcript: readonly Line[], heard: readonly Line[]): Line[] {
  const known = new Set(transcript.map(({ segment }) => segment));
  const live = new Map(heard.map((line) => [line.segment, line]));
  return [...transcript.map((line) => withClauses(line, live.get(line.segment))), ...heard.filter(({ segment }) => !known.has(segment))];
}

function withClauses(line: Line, heard: Line | undefined): Line {
  const isSame =
    heard !== undefined && line.clauses.length === 0 && line.version === 1 && line.source === "live" && line.text === heard.text;
  return isSame ? { ...line, clauses: heard.clauses, corrections: heard.corrections } : line;
}

/** Returns the lines: the newest version of each stored segment, replaced by the live sentence unless a better version is stored. */
export function mergeLines(stored: readonly Line[], sentences: Sentences): Line[] {
  const lines = new Map<number, Line>();
  for (const line of stored) {
    const before = lines.get(line.segment);
    if (!before || before.version <= line.version) lines.set(line.segment, line);
  }
  for (const sentence of sentences.values()) {
    const before = lines.get(sentence.segment);
    if (before && (before.source === "recording" || before.version > 1)) continue;
    lines.set(sentence.segment, {
      segment: sentence.segment,
      leg: sentence.leg,
      language: sentence.sourceLanguage || before?.language || "",
      targetLanguage: sentence.targetLanguage || before?.targetLanguage || "",
      text: sentence.text,
      translation: sentence.translation ?? before?.translation ?? null,
      final: sentence.final,
      unrecognised: sentence.unrecognised,
      missed: sentence.missed,
      committed: sentence.committed,
      corrections: sentence.corrections || (before?.corrections ?? 0),
      clauses: sentence.clauses.length > 0 ? sentence.clauses : (before?.clauses ?? []),
      version: 1,
      source: "live",
      startedAt: before?.startedAt ?? null,
    });
  }
  return [...lines.values()].sort(
    (a, b) => (a.startedAt && b.startedAt ? compareTimes(a.startedAt, b.startedAt) : 0) || a.segment - b.segment,
  );
}

/** Returns the position of a line in the recording, in seconds; `null` if it is unknown. */
export function offsetOf(line: Line, recordingStart: string | null): number | null {
  const offset = (Date.parse(line.startedAt ?? "") - Date.parse(recordingStart ?? "")) / 1000;
  return Number.isFinite(offset) ? Math.max(0, offset) : null;
}

/** Returns the index of the last line that starts at or before `position`; -1 before the first. */
export function lineAt(offsets: readonly (number | null)[], position: number): number {
  let found = -1;
  offsets.forEach((offset, index) => {
    // Half a second of tolerance, because a click on a line seeks to just before it.
    if (offset !== null && offset <= position + 0.5) found = index;
  });
  return found;
}

/** Splits a text so that every second piece is a match of one of the words, ignoring case and accents. */
export function splitMatches(whole: string, words: string): string[] {
  const wanted = fold(words).split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return [whole];
  const folded = foldKeeping(whole);
  const hits: [number, number][] = [];
  for (const word of wanted) {
    for (let at = folded.indexOf(word); at >= 0; at = folded.indexOf(word, at + word.length)) hits.push([at, at + word.length]);
  }
  hits.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const pieces: string[] = [];
  let end = 0;
  for (const [from, to] of hits) {
    if (from < end) continue;
    pieces.push(whole.slice(end, from), whole.slice(from, to));
    end = to;
  }
  pieces.push(whole.slice(end));
  return pieces;
}

/** Returns the segments that contain all the words, in the text or its translation; if none does, those that contain any of them. */
export function matchingSegments(lines: readonly Line[], words: string): number[] {
  const wanted = fold(words).split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return [];
  const counted = lines.map((line) => {
    const all = fold(`${line.text} ${line.translation ?? ""}`);
    return { segment: line.segment, count: wanted.filter((word) => all.includes(word)).length };
  });
  const whole = counted.filter(({ count }) => count === wanted.length);
  return (whole.length > 0 ? whole : counted.filter(({ count }) => count > 0)).map(({ segment }) => segment);
}

function fold(whole: string): string {
  return whole.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Folds letter by letter, so that positions are the same as in the original. */
function foldKeeping(whole: string): string {
  return Array.from({ length: whole.length }, (_, index) => fold(whole.charAt(index)).charAt(0) || whole.charAt(index)).join("");
}
