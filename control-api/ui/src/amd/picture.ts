/**
 * The picture of a detection: where sound, speech, probability and marks are drawn.
 *
 *   Amd ─▶ Picture (in milliseconds) ─▶ paths and places (in a box of 1000 × 100) ─▶ view
 *
 * Pure. The sound is drawn where its strip is known, the speech of the evidence elsewhere.
 */
import { type Amd, currentVerdict, type Interval, STEP_MS, type Step } from "./state.js";
import { answerName, answerTone, capital, correctionText, frequencies, seconds, verdictText } from "./words.js";

export type MarkKind = "decision" | "correction" | "greeting_end" | "beep" | "message";

/** An event in the picture: a moment if both ends are equal, otherwise a period. */
export interface Mark {
  kind: MarkKind;
  fromMs: number;
  toMs: number;
  label: string;
  tone: string;
  /** Whether the period goes on beyond the right edge. */
  open: boolean;
}

export interface Picture {
  /** Time at the right edge; the left edge is the answer. */
  untilMs: number;
  stripFromMs: number;
  steps: readonly (Step | null)[];
  /** Speech outside of the strip. */
  speech: Interval[];
  marks: Mark[];
}

/** Size of the box that paths are drawn in. */
export const WIDTH = 1000;
export const HEIGHT = 100;

/** Widths of the picture in seconds. It grows in few steps, so that it does not move with every event. */
const WIDTHS_S = [5, 8, 12, 16, 20, 30, 40, 60, 90, 120];
/** Part of a long message that is shown. */
const MESSAGE_SHOWN_MS = 4_000;
/** Levels at the bottom and at the top, in dBFS. */
const LEVELS = { low: -62, high: -8 };

export function picture(amd: Amd): Picture {
  const { strip, message, greetingEndMs } = amd;
  const stripEnd = strip.fromMs + strip.steps.length * STEP_MS;
  const heard = speechOf(amd);
  const marks: Mark[] = [];
  const mark = (kind: MarkKind, fromMs: number | null, label: string, change: Partial<Mark> = {}): void => {
    if (fromMs !== null) marks.push({ kind, fromMs, toMs: fromMs, label, tone: "", open: false, ...change });
  };
  for (const verdict of amd.verdicts) mark("decision", verdict.decidedAtMs, verdictText(verdict), { tone: answerTone(verdict.verdict) });
  const { revised } = amd;
  if (revised) mark("correction", revised.decidedAtMs, answerName(revised.verdict), { tone: answerTone(revised.verdict) });
  mark("greeting_end", greetingEndMs, "greeting ends");
  for (const { startMs, endMs, hz } of amd.beeps)
    mark("beep", startMs, ["beep", hz.length === 1 ? frequencies(hz) : ""].filter(Boolean).join(" "), { toMs: endMs });
  const before = Math.max(0, stripEnd, ...heard.map(([, to]) => to), ...marks.map(({ toMs }) => toMs));
  const shown = message.begunMs === null ? before : Math.max(before, message.begunMs + MESSAGE_SHOWN_MS);
  const untilMs = horizon(Math.max(shown, message.endMs !== null && message.endMs < 1.6 * shown ? message.endMs : 0));
  if (message.begunMs !== null) {
    const open = message.endMs === null || message.endMs > untilMs;
    mark("message", message.begunMs, "message", { toMs: open ? untilMs : (message.endMs ?? untilMs), open });
  }
  return {
    untilMs,
    stripFromMs: strip.fromMs,
    steps: strip.steps,
    speech: strip.steps.length === 0 ? heard : outside(heard, strip.fromMs, stripEnd),
    marks: marks.sort((a, b) => a.fromMs - b.fromMs),
  };
}

function horizon(ms: number): number {
  const second = WIDTHS_S.find((width) => ms <= width * 1000);
  return second === undefined ? Math.ceil(ms / 60_000) * 60_000 : second * 1000;
}

/** Returns the speech that the evidence of all verdicts has, in order and without overlaps. */
function speechOf({ verdicts, revised }: Amd): Interval[] {
  const all = [...verdicts, ...(revised ? [revised] : [])].flatMap(({ evidence }) => evidence.speech);
  const joined: Interval[] = [];
  for (const [from, to] of [...all].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && from <= last[1]) joined[joined.length - 1] = [last[0], Math.max(last[1], to)];
    else joined.push([from, to]);
  }
  return joined;
}

/** Returns the parts of the intervals before `from` and after `to`. */
function outside(intervals: readonly Interval[], from: number, to: number): Interval[] {
  return intervals
    .flatMap(([start, end]): Interval[] => [
      [start, Math.min(end, from)],
      [Math.max(start, to), end],
    ])
    .filter(([start, end]) => end > start);
}

/** Returns the times of the axis, in seconds. */
export function ticks({ untilMs }: Picture): number[] {
  const end = untilMs / 1000;
  const step = end <= 8 ? 1 : end <= 20 ? 2 : end <= 40 ? 5 : 10 * Math.ceil(end / 120);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
}

export interface Paths {
  /** Bars of steps with speech, and of the others. */
  speech: string;
  other: string;
  /** Line of the probability of a person, from the bottom (0 %) to the top. */
  human: string;
}

/** Returns the paths of the strip. */
export function paths({ untilMs, stripFromMs, steps }: Picture): Paths {
  const [width, bar] = [(WIDTH * STEP_MS) / untilMs, (0.76 * WIDTH * STEP_MS) / untilMs];
  const all: Paths = { speech: "", other: "", human: "" };
  let drawing = false;
  steps.forEach((step, index) => {
    if (!step) {
      drawing = false;
      return;
    }
    const x = (WIDTH * (stripFromMs + index * STEP_MS)) / untilMs;
    const share = Math.min(1, Math.max(0, (step.levelDbfs - LEVELS.low) / (LEVELS.high - LEVELS.low)));
    const height = Math.max(2, 0.9 * HEIGHT * share);
    all[step.speech ? "speech" : "other"] += `M${round(x)} ${HEIGHT}v${round(-height)}h${round(bar)}V${HEIGHT}z`;
    all.human += `${drawing ? "L" : "M"}${round(x + width)} ${round(HEIGHT - 4 - ((HEIGHT - 8) * step.human) / 100)}`;
    drawing = true;
  });
  return all;
}

/** The place of a mark's label. */
export interface Place {
  /** Row from the top. */
  row: number;
  /** Whether the label ends at its mark, because it would not fit to the right of it. */
  left: boolean;
}

/** Average width of a character of a label, and the space around it, in pixels. */
const CHARACTER_PX = 6.3;
const AROUND_PX = 12;

/** Returns a place for each label, so that none covers another. `widthPx`: width of the picture. */
export function places({ marks, untilMs }: Picture, widthPx: number): Place[] {
  const rows: [from: number, to: number][][] = [];
  return marks.map(({ fromMs, label }) => {
    const at = (widthPx * fromMs) / untilMs;
    const length = label.length * CHARACTER_PX + AROUND_PX;
    const left = at + length > widthPx && at - length >= 0;
    const [from, to] = left ? [at - length, at] : [at, at + length];
    let row = rows.findIndex((taken) => taken.every(([a, b]) => to <= a || from >= b));
    if (row < 0) row = rows.push([]) - 1;
    rows[row]?.push([from, to]);
    return { row, left };
  });
}

/** Returns the newest probability of a person, in percent; `undefined` before the first step. */
export function humanNow({ strip }: Amd): number | undefined {
  return strip.steps.at(-1)?.human;
}

/** Returns the picture in words. */
export function pictureText(amd: Amd): string {
  const { steps, stripFromMs, marks } = picture(amd);
  const spoken = steps.length > 0 ? spokenIntervals(steps, stripFromMs) : speechOf(amd);
  const speech = spoken.map(([from, to]) => `${(from / 1000).toFixed(1)} to ${seconds(to)}`).join(", ");
  const human = currentVerdict(amd) ? undefined : humanNow(amd);
  return [
    speech === "" ? "No speech so far" : `Speech from ${speech}`,
    human === undefined ? "" : `Probability of a person: ${human} %`,
    ...marks.map((mark) => markText(mark, amd)),
  ]
    .filter(Boolean)
    .map((part) => `${part.replace(/\.$/, "")}.`)
    .join(" ");
}

function markText({ kind, label, fromMs, toMs, open }: Mark, amd: Amd): string {
  switch (kind) {
    case "decision":
      return `Decision after ${seconds(fromMs)}: ${label}`;
    case "correction":
      return correctionText(amd);
    case "greeting_end":
      return `The greeting ended at ${seconds(fromMs)}`;
    default: {
      const name = capital(label);
      return open ? `${name} from ${seconds(fromMs)}` : `${name} from ${(fromMs / 1000).toFixed(1)} to ${seconds(toMs)}`;
    }
  }
}

function spokenIntervals(steps: readonly (Step | null)[], fromMs: number): Interval[] {
  const found: [number, number][] = [];
  steps.forEach((step, index) => {
    if (!step?.speech) return;
    const at = fromMs + index * STEP_MS;
    const last = found.at(-1);
    if (last && last[1] === at) last[1] = at + STEP_MS;
    else found.push([at, at + STEP_MS]);
  });
  return found;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}
