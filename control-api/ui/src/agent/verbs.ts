/** Actions on a running call, by the server's REST API. They reject with an `ApiError` when the server refuses. */
import { command, request } from "../http.js";
import { fields, listOf, number } from "../shapes.js";
import { type Parked, parseParked } from "./parked.js";

/** The target of a new leg: a colleague by SIP name, or a number or SIP address. */
export type Target = { agent: string } | { to: string };

/** Maximum ringing time of a new leg, in seconds. */
export const RING_S = 30;

/** Puts a leg on hold (`on`) or resumes it. */
export async function legHold(call: string, leg: number, on: boolean): Promise<void> {
  await command("POST", `/calls/${call}/legs/${leg}/${on ? "hold" : "resume"}`);
}

/** Mutes a leg (`on`) or unmutes it. */
export async function legMute(call: string, leg: number, on: boolean): Promise<void> {
  await command("POST", `/calls/${call}/legs/${leg}/${on ? "mute" : "unmute"}`);
}

/** Calls `target` into the call; returns the number of the new leg. */
export async function legAdd(call: string, target: Target): Promise<number | undefined> {
  const answer = (await command("POST", `/calls/${call}/legs`, { ...target, ring_s: RING_S })) as { leg?: unknown } | undefined;
  return typeof answer?.leg === "number" ? answer.leg : undefined;
}

/** Hangs up a leg. */
export async function legDelete(call: string, leg: number): Promise<void> {
  await command("DELETE", `/calls/${call}/legs/${leg}`);
}

/** Transfers the partner of `leg` to `target`. */
export async function transfer(call: string, leg: number, target: Target): Promise<void> {
  await command("POST", `/calls/${call}/transfer`, { leg, targets: [target], ring_s: RING_S });
}

/** Parks the only partner of `leg` and hangs `leg` up; returns the slot. */
export async function legPark(call: string, leg: number): Promise<number | undefined> {
  const answer = fields(await command("POST", `/calls/${call}/park`, { leg }));
  return number(answer["slot"]) ?? undefined;
}

/** Returns all parked calls of the organization. */
export async function parkedList(): Promise<Parked[]> {
  return listOf(await request("GET", "/parked"), "parked", parseParked);
}

/** Has the server ring the user's own phone for the parked call in `slot`. */
export async function parkedPickup(slot: number): Promise<void> {
  await command("POST", `/parked/${slot}/pickup`, {});
}
