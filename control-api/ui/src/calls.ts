/**
 * The list of calls, fed by fetches (whole lists) and events (single changes).
 *
 * Rules: a call's status only moves forward (queued, ringing, answered, bridged, then ended or failed), so a list that
 * was asked for before an event and answered after it cannot turn the clock back.
 */
import { compareTimes, fields, listOf, text } from "./shapes.js";

export type CallStatus = "queued" | "ringing" | "answered" | "bridged" | "ended" | "failed";

export interface VoiceConfig {
  live_translate: boolean;
  transcribe: boolean;
  translate_from: string;
  translate_to: string;
  voice_to_voice: boolean;
  record: boolean;
}

/** As the API sends it. */
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

/** Reads a call; `undefined` when it is none. Older servers say `cause` for the reason of its end. */
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

export function parseCalls(value: unknown): Call[] {
  return listOf(value, "calls", parseCall);
}

export function parseConfig(value: unknown): VoiceConfig {
  const config = fields(value);
  return {
    live_translate: config["live_translate"] === true,
    transcribe: config["transcribe"] === true,
    translate_from: text(config["translate_from"]) ?? "en",
    translate_to: text(config["translate_to"]) ?? "es",
    voice_to_voice: config["voice_to_voice"] === true,
    record: config["record"] === true,
  };
}

/** A fetched list. Calls that it does not name stay: the list may be older than they are. */
export function applyList(calls: Calls, list: readonly Call[]): Calls {
  const next = new Map(calls);
  for (const call of list) {
    const before = next.get(call.id);
    next.set(call.id, before && rank(before.status) > rank(call.status) ? { ...call, ...progress(before) } : call);
  }
  return next;
}

/** One event: the whole `call`, or its `call_id` and what changed. An unknown call without body gives the same list back. */
export function applyCallEvent(calls: Calls, event: CallEvent): Calls {
  const whole = parseCall(event.call);
  if (whole) return applyList(calls, [whole]);
  const before = typeof event.call_id === "string" ? calls.get(event.call_id) : undefined;
  if (!before || !isStatus(event.status) || rank(event.status) < rank(before.status)) return calls;
  const next = new Map(calls);
  next.set(before.id, { ...before, status: event.status, ended_reason: text(event.cause) ?? before.ended_reason });
  return next;
}

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

export function isRunning(call: Call): boolean {
  return rank(call.status) < RANK.ended;
}

const STATUS: Record<CallStatus, string> = { queued: "Queued", ringing: "Ringing", answered: "Answered", bridged: "Connected", ended: "Ended", failed: "Failed" };

/** How people call a call's status. */
export function statusText(call: Call): string {
  return STATUS[call.status];
}

/** Pinned first, then running before over, then the newest; `filter` looks at numbers, agent, status and id. */
export function visibleCalls(
  calls: Calls,
  view: { filter: string; pinned: ReadonlySet<string>; keep: ReadonlySet<string> },
): Call[] {
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

/** The agent's own running call: the newest one that has not ended. `takesPart`: whether the agent has a leg in a call of another's. */
export function ownCall(calls: Calls, agent: string, takesPart: (call: string) => boolean = () => false): Call | undefined {
  return [...calls.values()]
    .filter((call) => isRunning(call) && (call.agent === agent || takesPart(call.id)))
    // A call that the agent has parked is still theirs, but the one they are in comes first.
    .sort((a, b) => Number(takesPart(b.id)) - Number(takesPart(a.id)) || compareTimes(b.created_at, a.created_at))[0];
}

/** How the customer's side of a call is called: whoever was dialled does not call. */
export function customerName(call: Pick<Call, "direction">): string {
  return call.direction === "outbound" ? "Callee" : "Caller";
}

/** `Inbound`, or who started it. */
export function directionText(call: Pick<Call, "direction" | "mode">): string {
  if (call.direction === "inbound") return "Inbound";
  return call.mode === null ? "Outbound, dialled by the agent" : `Outbound, ${call.mode}`;
}

/** What the page says about translation of a call. */
export function translationNotice(config: VoiceConfig): string | undefined {
  if (config.live_translate) return undefined;
  return config.transcribe
    ? "Translation is off by configuration. Words are transcribed only."
    : "Off by configuration. Nothing of this call is sent to any speech provider.";
}
