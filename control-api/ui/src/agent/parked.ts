/** Calls that wait in a slot until somebody picks them up. Every agent of the organization sees all of them. */
import { compareTimes, fields, number, text } from "../shapes.js";
import { duration } from "../words.js";

/** `picking_up`: somebody's telephone rings for it; `returning`: the telephone of whoever parked it does. */
export type ParkedState = "waiting" | "picking_up" | "returning";

export interface Parked {
  slot: number;
  call: string;
  /** The leg that waits; 0: not told. */
  leg: number;
  /** Number or name of whoever waits. */
  peer: string;
  /** SIP name; null when a program parked it. */
  parkedBy: string | null;
  since: string | null;
  /** Until then it waits. */
  until: string | null;
  state: ParkedState;
}

export function parseParked(value: unknown): Parked | undefined {
  const parked = fields(value);
  const [slot, call] = [number(parked["slot"]), text(parked["call_id"])];
  if (slot === null || call === null) return undefined;
  const state = parked["state"];
  return {
    slot, call, leg: number(parked["leg"]) ?? 0, peer: text(parked["peer"]) ?? "", parkedBy: text(parked["parked_by"]), since: text(parked["since"]), until: text(parked["until"]),
    state: state === "picking_up" || state === "returning" ? state : "waiting",
  };
}

/** The longest waiting first. */
export function inOrder(parked: readonly Parked[]): Parked[] {
  return [...parked].sort((a, b) => compareTimes(a.since, b.since) || a.slot - b.slot);
}

/** Who waits, in few letters: the user part of a SIP address. */
export function waiterName({ peer }: Pick<Parked, "peer">): string {
  return /^sips?:([^@;]+)/i.exec(peer)?.[1] ?? (peer || "Unknown caller");
}

/** `Waits 0:42 of 2:00, parked by you` */
export function parkedText(parked: Parked, { me, of, now }: { me: string; of(sipName: string): string | undefined; now: number }): string {
  const { state, parkedBy } = parked;
  if (state === "picking_up") return "Somebody is picking it up";
  const who = parkedBy === null ? "" : parkedBy === me ? "you" : (of(parkedBy) ?? parkedBy);
  if (state === "returning") return who === "" ? "Nobody picked it up: it goes back" : `Nobody picked it up: it goes back to ${who}`;
  const [since, until] = [Date.parse(parked.since ?? ""), Date.parse(parked.until ?? "")];
  const waits = Number.isNaN(since) ? "Waits" : `Waits ${duration(now - since)}${Number.isNaN(until) ? "" : ` of ${duration(until - since)}`}`;
  return `${waits}${who === "" ? "" : `, parked by ${who}`}`;
}

/** Little time is left. */
export function isUrgent({ until, state }: Parked, now: number): boolean {
  return state === "waiting" && Date.parse(until ?? "") - now < 20_000;
}
