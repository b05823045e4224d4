/** How late the listener gets what was said: the delay of each stage, and its form as text. */
import { fields, number } from "./shapes.js";

/** Delay of each stage in ms; null if unknown. */
export interface LagMs {
  stt: number | null;
  translate: number | null;
  tts: number | null;
  total: number | null;
}

/** Lateness that a clause should not exceed, in ms. */
export const BUDGET_MS = 3_000;

export const NO_LAG: LagMs = { stt: null, translate: null, tts: null, total: null };

/** Parses the delays of a segment or clause; a stage with a bad value is unknown. */
export function parseLag(value: unknown): LagMs {
  const lag = fields(value);
  const stage = (name: keyof LagMs): number | null => {
    const delay = number(lag[name]);
    return delay !== null && delay >= 0 ? delay : null;
  };
  return { stt: stage("stt"), translate: stage("translate"), tts: stage("tts"), total: stage("total") };
}

/** Returns the delays with each unknown stage taken from `other`. */
export function fillLag(lag: LagMs, other: Partial<LagMs> | undefined): LagMs {
  const stage = (name: keyof LagMs): number | null => lag[name] ?? other?.[name] ?? null;
  return { stt: stage("stt"), translate: stage("translate"), tts: stage("tts"), total: stage("total") };
}

export function sameLag(a: LagMs, b: LagMs): boolean {
  return (["stt", "translate", "tts", "total"] as const).every((stage) => a[stage] === b[stage]);
}

/** Formats a delay in seconds with one decimal, without the unit. */
export function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

/** Formats a delay in seconds with its unit on the same line. */
export function secondsText(ms: number): string {
  return `${inSeconds(ms)}\u00a0s`;
}
