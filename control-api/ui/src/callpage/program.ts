/**
 * The history of a call's programs: each step with its time, duration and outcome.
 *
 *   call.program events ─▶ runs (one for each program: a webhook or the fallback begins the next) ─▶ programview
 *
 * Pure. A step that ran several times is listed several times.
 */

import type { Tone } from "../legs.js";
import { number, text } from "../shapes.js";
import { duration } from "../words.js";
import type { CallEventRecord } from "./detail.js";

/** One step that ran. */
export interface Step {
  key: string;
  /** Path of the step in its program, such as `steps[3]`. */
  path: string;
  verb: string;
  at: string | null;
  /** Time since the start of the call. */
  after: string;
  /** Outcome in words; "" while the step runs. */
  outcome: string;
  detail: string;
  /** Duration; "" if it was shorter than half a second. */
  took: string;
  tone: Tone;
  running: boolean;
}

/** The steps of one program. */
export interface Run {
  program: number;
  steps: Step[];
}

export interface ProgramHistory {
  runs: Run[];
  /** How the last program ended; "" while it runs. */
  ended: string;
  tone: Tone;
}

const VERBS: Record<string, string> = {
  play: "Play a sound",
  speak: "Speak",
  gather: "Collect digits",
  record: "Record",
  leave_message: "Leave a message",
  dial: "Call someone",
  transfer: "Transfer",
  queue: "Queue",
  pause: "Pause",
  hangup: "Hang up",
  jump: "Jump",
  set_language: "Set the caller's language",
  webhook: "Ask the program server",
  label: "Label",
};

const OUTCOMES: Record<string, readonly [Tone, string]> = {
  completed: ["good", "Done"],
  skipped: ["idle", "Skipped"],
  failed: ["bad", "Failed"],
  stopped: ["idle", "Stopped"],
  digits: ["good", "Digits"],
  timeout: ["warn", "No key was pressed"],
  invalid: ["warn", "Not a valid choice"],
  recorded: ["good", "Recorded"],
  message_left: ["good", "Message left"],
  message_human: ["warn", "Interrupted by a person"],
  message_stopped: ["idle", "Cut short"],
  message_failed: ["bad", "Could not be played"],
  not_reached: ["warn", "Nobody answered"],
  talked: ["good", "Talked"],
  transferred: ["good", "Transferred"],
  fetched: ["good", "Next program received"],
  not_fetched: ["bad", "No program received"],
};

const ENDINGS: Record<string, readonly [Tone, string]> = {
  finished: ["good", "Completed"],
  hung_up: ["good", "Hung up"],
  transferred: ["good", "The caller was transferred"],
  caller_gone: ["idle", "The caller left"],
  withdrawn: ["warn", "Withdrawn"],
  bound: ["bad", "Exceeded a program limit"],
  not_fetched: ["bad", "The next program could not be fetched"],
};

/** Returns the name of a verb for people. */
export function verbText(verb: string): string {
  return VERBS[verb] ?? verb.replaceAll("_", " ");
}

/** Returns how a program ended, in a few words. */
export function endText(outcome: string): string {
  return ENDINGS[outcome]?.[1] ?? outcome.replaceAll("_", " ");
}

/** Returns the history of the call's programs; `undefined` if none ran. `began`: start of the call. */
export function programHistory(events: readonly CallEventRecord[], began: string): ProgramHistory | undefined {
  const told = events.filter(({ type }) => type === "call.program");
  if (told.length === 0) return undefined;
  const runs = new Map<number, Run>();
  let ending: readonly [Tone, string] = ["idle", ""];
  let current = 0;
  told.forEach(({ at, body }, index) => {
    const word = (name: string): string => text(body[name]) ?? "";
    const state = word("state");
    if (state === "ended") {
      const [tone, words] = ENDINGS[word("outcome")] ?? ["idle", endText(word("outcome"))];
      ending = [tone, [words, word("detail")].filter(Boolean).join(": ")];
      return;
    }
    const program = number(body["program"]) ?? current;
    if (state !== "step_started" && state !== "step_ended") return;
    current = program;
    let run = runs.get(program);
    if (!run) {
      run = { program, steps: [] };
      runs.set(program, run);
    }
    const [path, verb] = [word("path") || `steps[${number(body["step"]) ?? "?"}]`, word("verb")];
    const open = run.steps.map((step) => step.running && step.path === path).lastIndexOf(true);
    const after = at === null ? "" : duration(Date.parse(at) - Date.parse(began));
    if (state === "step_started") {
      run.steps.push({
        key: `${program} ${index}`,
        path,
        verb,
        at,
        after,
        outcome: "",
        detail: word("detail"),
        took: "",
        tone: "idle",
        running: true,
      });
      return;
    }
    // How a message ended is in the detail.
    const message = word("outcome") === "message";
    const outcome = message ? `message_${word("detail")}` : word("outcome");
    const [tone, words] = OUTCOMES[outcome] ?? ["idle", outcome.replaceAll("_", " ")];
    const digits = text(body["digits"]);
    const before = run.steps[open];
    const step: Step = {
      key: before?.key ?? `${program} ${index}`,
      path,
      verb: verb || (before?.verb ?? ""),
      at: before?.at ?? at,
      after: before?.after ?? after,
      outcome: digits === null ? words : digits === "" ? `${words}: none` : `${words}: ${digits}`,
      detail: (message ? "" : word("detail")) || (before?.detail ?? ""),
      took: tookText(number(body["duration_ms"])),
      tone,
      running: false,
    };
    if (before) run.steps[open] = step;
    else run.steps.push(step);
  });
  // No step runs after its program has ended.
  const steps =
    ending[1] === ""
      ? [...runs.values()]
      : [...runs.values()].map((run) => ({ ...run, steps: run.steps.map((step) => ({ ...step, running: false })) }));
  return { runs: steps.sort((a, b) => a.program - b.program), ended: ending[1], tone: ending[0] };
}

function tookText(ms: number | null): string {
  if (ms === null || ms < 500) return "";
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms);
}
