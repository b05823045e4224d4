/**
 * The list of calls, updated by fetches (whole lists) and events (single changes).
 *
 * A call's status only moves forward (queued, ringing, answered, bridged, then ended or failed), so a list that was requested before an
 * event and arrives after it does not undo the event.
 */
import { BUDGET_MS } from "./lag.js";
import { type Hears, parseHears } from "./listening.js";
import { compareTimes, fields, listOf, number, text } from "./shapes.js";

export type CallStatus = "queued" | "ringing" | "answered" | "bridged" | "ended" | "failed";

/** What is done with a call's audio, as the API sends it. */
export interface VoiceConfig {
  live_translate: boolean;
  transcribe: boolean;
  translate_from: string;
  translate_to: string;
  voice_to_voice: boolean;
  customer_hears: Hears;
  agent_hears: Hears;
  /** Highest lateness of a spoken clause, in ms. */
  budget_ms: number;
  record: boolean;
  /** Whether recordings also hold what each party hears. */
  record_heard: boolean;
}

/** A call, as the API sends it. */
export interface Call {
  id: string;
  status: CallStatus;
  direction: string;
  mode: string | null;
  from: string | null;
  to: string;
  agent: string | null;
  config: VoiceConfig;
  created_at: string;
  answered_at: string | null;
  ended_at: string | null;
  ended_reason: string | null;
  outcome: string | null;
}

export type Calls = ReadonlyMap<string, Call>;

export const NO_CALLS: Calls = new Map();

const RANK: Record<CallStatus, number> = { queued: 0, ringing: 1, answered: 2, bridged: 3, ended: 4, failed: 4 };

/** Parses a call; `undefined` if it is malformed. Older servers use `cause` instead of `ended_reason`. */
export function parseCall(value: unknown): Call | undefined {
  const call = fields(value);
  const { id, status } = call;
  if (typeof id !== "string" || !isStatus(status)) return undefined;
  return {
    id,
    status,
    direction: text(call["direction"]) ?? "",
    mode: text(call["mode"]),
    from: text(call["from"]),
    to: text(call["to"]) ?? "",
    agent: text(call["agent"]),
    config: parseConfig(call["config"]),
    created_at: text(call["created_at"]) ?? "",
    answered_at: text(call["answered_at"]),
    ended_at: text(call["ended_at"]),
    ended_reason: text(call["ended_reason"]) ?? text(call["cause"]),
    outcome: text(call["outcome"]),
  };
}

/** Parses a list of calls, without malformed ones. */
export function parseCalls(value: unknown): Call[] {
  return listOf(value, "calls", parseCall);
}

/** Parses a configuration; missing fields have their defaults. */
export function parseConfig(value: unknown): VoiceConfig {
  const config = fields(value);
  return {
    live_translate: config["live_translate"] === true,
    transcribe: config["transcribe"] === true,
    translate_from: text(config["translate_from"]) ?? "en",
    translate_to: text(config["translate_to"]) ?? "es",
    voice_to_voice: config["voice_to_voice"] === true,
    customer_hears: parseHears(config["customer_hears"]),
    agent_hears: parseHears(config["agent_hears"]),
    budget_ms: number(config["budget_ms"]) ?? BUDGET_MS,
    record: config["record"] === true,
    record_heard: config["record_heard"] === true,
  };
}

/** Returns the calls with a fetched list merged in. Calls that are not in the list stay, because they may be newer. */
export function applyList(calls: Calls, list: readonly Call[]): Calls {
  const next = new Map(calls);
  for (const call of list) {
    const before = next.get(call.id);
    next.set(call.id, before && rank(before.status) > rank(call.status) ? { ...call, ...progress(before) } : call);
  }
  return next;
}

/**
 * Returns the calls after one event, which has the whole `call` or its `call_id` with the changes. An event without the whole call
 * changes nothing if the call is unknown.
 */
export function applyCallEvent(calls: Calls, event: CallEvent): Calls {
  const whole = parseCall(event.call);
  if (whole) return applyList(calls, [whole]);
  const before = typeof event.call_id === "string" ? calls.get(event.call_id) : undefined;
  if (!before || !isStatus(event.status) || rank(event.status) < rank(before.status)) return calls;
  const next = new Map(calls);
  next.set(before.id, { ...before, status: event.status, ended_reason: text(event.cause) ?? before.ended_reason });
  return next;
}

/** The fields of a call's event that are read. */
export interface CallEvent {
  call_id?: unknown;
  status?: unknown;
  cause?: unknown;
  call?: unknown;
}

function progress(call: Call): Pick<Call, "status" | "ended_reason" | "answered_at" | "ended_at"> {
  const { status, ended_reason, answered_at, ended_at } = call;
  return { status, ended_reason, answered_at, ended_at };
}

function rank(status: CallStatus): number {
  return RANK[status] ?? 0;
}

function isStatus(value: unknown): value is CallStatus {
  return typeof value === "string" && value in RANK;
}

/** Whether the call has not ended. */
export function isRunning(call: Call): boolean {
  return rank(call.status) < RANK.ended;
}

const STATUS: Record<CallStatus, string> = {
  queued: "Queued",
  ringing: "Ringing",
  answered: "Answered",
  bridged: "Connected",
  ended: "Ended",
  failed: "Failed",
};

/** Returns the name of a call's status for people. */
export function statusText(call: Call): string {
  return STATUS[call.status];
}

/**
 * Returns the calls of the live page: running, pinned and kept ones that match `filter` (numbers, agent, status, direction, id).
 * Pinned calls come first, then running ones, then ended ones, each newest first.
 */
export function visibleCalls(calls: Calls, view: { filter: string; pinned: ReadonlySet<string>; keep: ReadonlySet<string> }): Call[] {
  const words = view.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (call: Call): boolean => {
    const text = [call.from, call.to, call.agent, call.status, statusText(call), call.direction, call.id].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const order = (call: Call): number => (view.pinned.has(call.id) ? 0 : isRunning(call) ? 1 : 2);
  return [...calls.values()]
    .filter((call) => isRunning(call) || view.pinned.has(call.id) || view.keep.has(call.id))
    .filter((call) => view.pinned.has(call.id) || matches(call))
    .sort((a, b) => order(a) - order(b) || compareTimes(b.created_at, a.created_at));
}

/** Returns the agent's newest running call. `takesPart`: whether the agent has a leg in the call, which may be another agent's. */
export function ownCall(calls: Calls, agent: string, takesPart: (call: string) => boolean = () => false): Call | undefined {
  return (
    [...calls.values()]
      .filter((call) => isRunning(call) && (call.agent === agent || takesPart(call.id)))
      // A call that the agent has parked is still theirs, but the one with their leg comes first.
      .sort((a, b) => Number(takesPart(b.id)) - Number(takesPart(a.id)) || compareTimes(b.created_at, a.created_at))[0]
  );
}

/** Returns the name of the customer's side: the callee of an outbound call, otherwise the caller. */
export function customerName(call: Pick<Call, "direction">): string {
  return call.direction === "outbound" ? "Callee" : "Caller";
}

/** Returns `Inbound`, or how the outbound call was started. */
export function directionText(call: Pick<Call, "direction" | "mode">): string {
  if (call.direction === "inbound") return "Inbound";
  return call.mode === null ? "Outbound, dialled by the agent" : `Outbound, ${call.mode}`;
}

/** Returns the notice for a call without live translation; `undefined` for a translated call. */
export function translationNotice(config: VoiceConfig): string | undefined {
  if (config.live_translate) return undefined;
  return config.transcribe
    ? "Translation is off. Words are transcribed only."
    : "Transcription and translation are off. Nothing from this call is sent to any speech provider.";
}
