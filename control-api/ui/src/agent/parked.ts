/** Parked calls: each waits in a slot until an agent picks it up. Every agent of the organization sees all of them. */
import { compareTimes, fields, number, text } from "../shapes.js";
import { duration } from "../words.js";

/** `picking_up`: an agent's phone rings to take the call; `returning`: the phone of the agent who parked it rings. */
export type ParkedState = "waiting" | "picking_up" | "returning";

/** A parked call, as the API sends it. */
export interface Parked {
  slot: number;
  call: string;
  /** Number of the waiting leg; 0 if unknown. */
  leg: number;
  /** Number or name of the waiting party. */
  peer: string;
  /** SIP name of the agent who parked the call; null if a program did. */
  parkedBy: string | null;
  since: string | null;
  /** Time at which the call returns to the agent who parked it. */
  until: string | null;
  state: ParkedState;
}

/** Parses a parked call; `undefined` without slot or call id. */
export function parseParked(value: unknown): Parked | undefined {
  const parked = fields(value);
  const [slot, call] = [number(parked["slot"]), text(parked["call_id"])];
  if (slot === null || call === null) return undefined;
  const state = parked["state"];
  return {
    slot,
    call,
    leg: number(parked["leg"]) ?? 0,
    peer: text(parked["peer"]) ?? "",
    parkedBy: text(parked["parked_by"]),
    since: text(parked["since"]),
    until: text(parked["until"]),
    state: state === "picking_up" || state === "returning" ? state : "waiting",
  };
}

/** Returns the calls in order, the longest waiting first. */
export function inOrder(parked: readonly Parked[]): Parked[] {
  return [...parked].sort((a, b) => compareTimes(a.since, b.since) || a.slot - b.slot);
}

/** Returns a short name of the waiting party: the user part of a SIP address. */
export function waiterName({ peer }: Pick<Parked, "peer">): string {
  return /^sips?:([^@;]+)/i.exec(peer)?.[1] ?? (peer || "Unknown caller");
}

/** Returns the state of a parked call, such as `Waiting 0:42 of 2:00, parked by you`. */
export function parkedText(parked: Parked, { me, of, now }: { me: string; of(sipName: string): string | undefined; now: number }): string {
  const { state, parkedBy } = parked;
  if (state === "picking_up") return "Being picked up";
  const who = parkedBy === null ? "" : parkedBy === me ? "you" : (of(parkedBy) ?? parkedBy);
  if (state === "returning") return who === "" ? "Not picked up, returning" : `Not picked up, returning to ${who}`;
  const [since, until] = [Date.parse(parked.since ?? ""), Date.parse(parked.until ?? "")];
  const waits = Number.isNaN(since)
    ? "Waiting"
    : `Waiting ${duration(now - since)}${Number.isNaN(until) ? "" : ` of ${duration(until - since)}`}`;
  return `${waits}${who === "" ? "" : `, parked by ${who}`}`;
}

/** Whether a waiting call has less than 20 s left. */
export function isUrgent({ until, state }: Parked, now: number): boolean {
  return state === "waiting" && Date.parse(until ?? "") - now < 20_000;
}
