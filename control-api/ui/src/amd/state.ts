/**
 * What the detection of answering machines knows about one leg.
 *
 *   `amd` of a fetched leg ─┐
 *                           ├─▶ Amd ─▶ words, picture
 *   call.amd events ────────┘
 *
 * Pure. Events may arrive twice and in any order. The strip of sound comes by events only, so it is kept when a leg is fetched; it has
 * the newest 30 s.
 */
import { fields, listOf, number, text } from "../shapes.js";

/** Length of a step of the strip. */
export const STEP_MS = 100;
/** Maximum number of steps that are kept. */
export const STEPS_MAX = 300;

/** Maximum number of verdicts, and of beeps, that are kept: the newest ones. */
const LIST_MAX = 8;

/** The sound in one step. */
export interface Step {
  levelDbfs: number;
  speech: boolean;
  /** Probability of a person, in percent. */
  human: number;
}

/** The newest sound that was heard; steps that have not arrived are null. */
export interface Strip {
  fromMs: number;
  steps: readonly (Step | null)[];
}

export type Interval = readonly [fromMs: number, toMs: number];

/** What a verdict rests on. */
export interface Evidence {
  /** What decided: `sound`, `fax`, `sit`, `signal`, `beep` or `limit`; "" if unknown. */
  ground: string;
  hz: number[];
  speech: Interval[];
  /** Kind of line on which a person answered: `residence` or `business`; "" if there is no hint. */
  line: string;
  /** Kinds of phrases that were heard, with their probability. */
  phrases: { phrase: string; probability: number }[];
  /** `weight`: log odds of a person; negative: of a recording. */
  features: { name: string; value: number; weight: number }[];
}

export interface Verdict {
  verdict: string;
  /** From 0 to 1. */
  probability: number | null;
  decidedAtMs: number | null;
  /** What followed; "" if nothing did. */
  action: string;
  evidence: Evidence;
}

export interface Beep {
  startMs: number;
  endMs: number;
  hz: number[];
}

/** A message that is left: null where not known yet. */
export interface Message {
  begunMs: number | null;
  /** What it waited for: `beep`, `greeting_end` or `limit`; "" if unknown. */
  after: string;
  endMs: number | null;
  /** How it ended: `left`, `human`, `stopped` or `failed`; "" while it has not. */
  end: string;
}

/** State of the detection on one leg. All positions are milliseconds since the answer. */
export interface Amd {
  mode: string;
  /** In the order of their decision; more than one if what followed a reply was judged again. The last one is current. */
  verdicts: readonly Verdict[];
  /** Correction of the current verdict, which has already been acted upon. */
  revised: Verdict | null;
  greetingEndMs: number | null;
  beeps: readonly Beep[];
  message: Message;
  strip: Strip;
}

const NO_MESSAGE: Message = { begunMs: null, after: "", endMs: null, end: "" };
const NO_STRIP: Strip = { fromMs: 0, steps: [] };

export const NO_AMD: Amd = {
  mode: "",
  verdicts: [],
  revised: null,
  greetingEndMs: null,
  beeps: [],
  message: NO_MESSAGE,
  strip: NO_STRIP,
};

/** Returns the current verdict; `undefined` before the first one. */
export function currentVerdict(amd: Amd): Verdict | undefined {
  return amd.verdicts.at(-1);
}

/** Parses the `amd` of a fetched leg; null for a leg that is not screened. `before`: what was known, whose strip is kept. */
export function parseAmd(value: unknown, before: Amd | null = null): Amd | null {
  if (typeof value !== "object" || value === null) return null;
  const amd = fields(value);
  const first = parseVerdict(amd);
  const verdicts = [...(first ? [first] : []), ...listOf(amd, "later", parseVerdict)];
  return {
    mode: text(amd["mode"]) ?? "",
    verdicts: verdicts.reduce(withVerdict, NO_AMD.verdicts),
    revised: parseVerdict(amd["revised"]) ?? null,
    greetingEndMs: number(amd["greeting_end_ms"]),
    beeps: listOf(amd, "beeps", parseBeep).reduce(withBeep, NO_AMD.beeps),
    message: {
      begunMs: number(amd["message_begun_ms"]),
      after: text(amd["message_after"]) ?? "",
      endMs: number(amd["message_end_ms"]),
      end: text(amd["message_end"]) ?? "",
    },
    strip: before?.strip ?? NO_STRIP,
  };
}

/** Returns the state after an event `call.amd`; events of unknown stages change nothing. */
export function applyAmdEvent(before: Amd | null, data: unknown): Amd | null {
  const event = fields(data);
  const amd = before ?? NO_AMD;
  const at = number(event["at_ms"]);
  switch (event["stage"]) {
    case "listening":
      return { ...amd, mode: text(event["mode"]) ?? amd.mode };
    case "heard":
      return { ...amd, strip: withSound(amd.strip, event) };
    case "verdict": {
      const verdict = parseVerdict(event);
      return verdict ? { ...amd, verdicts: withVerdict(amd.verdicts, verdict) } : before;
    }
    case "revised": {
      const verdict = parseVerdict(event);
      return verdict && isNewer(verdict, amd.revised) ? { ...amd, revised: verdict } : before;
    }
    case "greeting_end":
      return { ...amd, greetingEndMs: at ?? amd.greetingEndMs };
    case "beep": {
      const beep = parseBeep(event);
      return beep ? { ...amd, beeps: withBeep(amd.beeps, beep) } : before;
    }
    case "message_begun":
      return { ...amd, message: { ...amd.message, begunMs: at, after: text(event["after"]) ?? "" } };
    case "message_left":
      return { ...amd, message: { ...amd.message, endMs: at, end: text(event["end"]) ?? "" } };
    default:
      return before;
  }
}

/** Whether an event is a piece of the strip, which the server does not keep. */
export function isTransient(data: unknown): boolean {
  return fields(data)["stage"] === "heard";
}

function parseVerdict(value: unknown): Verdict | undefined {
  const told = fields(value);
  const verdict = text(told["verdict"]);
  if (verdict === null) return undefined;
  const evidence = fields(told["evidence"]);
  return {
    verdict,
    probability: number(told["probability"]),
    decidedAtMs: number(told["decided_at_ms"]),
    action: text(told["action"]) ?? "",
    evidence: {
      ground: text(evidence["ground"]) ?? "",
      hz: numbers(evidence["hz"]),
      speech: pairs(evidence["speech"]).flatMap(([from, to]) => {
        const [start, end] = [number(from), number(to)];
        return start === null || end === null ? [] : [[start, end] as const];
      }),
      line: text(evidence["line"]) ?? "",
      phrases: listOf(evidence, "phrases", (one) => {
        const heard = fields(one);
        const [phrase, probability] = [text(heard["phrase"]), number(heard["probability"])];
        return phrase === null || probability === null ? undefined : { phrase, probability };
      }),
      features: listOf(evidence, "features", (one) => {
        const sign = fields(one);
        const [name, value, weight] = [text(sign["name"]), number(sign["value"]), number(sign["weight"])];
        return name === null || value === null || weight === null ? undefined : { name, value, weight };
      }),
    },
  };
}

function isNewer(verdict: Verdict, than: Verdict | null): boolean {
  return than === null || (verdict.decidedAtMs ?? 0) > (than.decidedAtMs ?? 0);
}

function withVerdict(verdicts: readonly Verdict[], verdict: Verdict): readonly Verdict[] {
  const at = (one: Verdict): number => one.decidedAtMs ?? 0;
  if (verdicts.some((known) => known.verdict === verdict.verdict && at(known) === at(verdict))) return verdicts;
  return [...verdicts, verdict].sort((a, b) => at(a) - at(b)).slice(-LIST_MAX);
}

function parseBeep(value: unknown): Beep | undefined {
  const beep = fields(value);
  const [startMs, endMs] = [number(beep["start_ms"]), number(beep["end_ms"])];
  return startMs === null || endMs === null ? undefined : { startMs, endMs, hz: numbers(beep["hz"]) };
}

/** A beep with a known start replaces the known one, because another pulse of it was heard. */
function withBeep(beeps: readonly Beep[], beep: Beep): readonly Beep[] {
  const known = beeps.find(({ startMs }) => startMs === beep.startMs);
  if (known && known.endMs >= beep.endMs) return beeps;
  return [...beeps.filter((one) => one !== known), beep].sort((a, b) => a.startMs - b.startMs).slice(-LIST_MAX);
}

/** Returns the strip with a piece, and without what is older than the newest [`STEPS_MAX`] steps. */
function withSound(strip: Strip, event: Record<string, unknown>): Strip {
  const from = number(event["from_ms"]);
  const levels = numbers(event["level_dbfs"]);
  const speech = Array.isArray(event["speech"]) ? event["speech"] : [];
  const human = numbers(event["human"]);
  if (from === null || from < 0 || levels.length === 0) return strip;
  const first = Math.round(from / STEP_MS);
  const old = strip.steps.length === 0 ? first : strip.fromMs / STEP_MS;
  const end = Math.max(old + strip.steps.length, first + levels.length);
  const start = Math.max(Math.min(old, first), end - STEPS_MAX);
  const steps = Array.from({ length: end - start }, (_, index): Step | null => {
    const place = start + index;
    const levelDbfs = levels[place - first];
    if (levelDbfs === undefined) return strip.steps[place - old] ?? null;
    return { levelDbfs, speech: speech[place - first] === true, human: Math.min(100, Math.max(0, human[place - first] ?? 0)) };
  });
  return { fromMs: start * STEP_MS, steps };
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((one): one is number => number(one) !== null) : [];
}

function pairs(value: unknown): unknown[][] {
  return Array.isArray(value) ? value.filter((one): one is unknown[] => Array.isArray(one)) : [];
}
