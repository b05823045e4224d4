/** What is done with a running call, by the server's REST interface. */
import { command, request } from "../http.js";
import { fields, listOf, number } from "../shapes.js";
import { parseParked, type Parked } from "./parked.js";

/** Somebody who can be called into a call: a colleague by SIP name, or a number or SIP address. */
export type Target = { agent: string } | { to: string };

/** How long somebody who is called into a call may ring. */
export const RING_S = 30;

export async function legHold(call: string, leg: number, on: boolean): Promise<void> {
  await command("POST", `/calls/${call}/legs/${leg}/${on ? "hold" : "resume"}`);
}

export async function legMute(call: string, leg: number, on: boolean): Promise<void> {
  await command("POST", `/calls/${call}/legs/${leg}/${on ? "mute" : "unmute"}`);
}

/** The number of the leg that is being called. */
export async function legAdd(call: string, target: Target): Promise<number | undefined> {
  const answer = (await command("POST", `/calls/${call}/legs`, { ...target, ring_s: RING_S })) as { leg?: unknown } | undefined;
  return typeof answer?.leg === "number" ? answer.leg : undefined;
}

export async function legDelete(call: string, leg: number): Promise<void> {
  await command("DELETE", `/calls/${call}/legs/${leg}`);
}

/** Joins the partner of `leg` with somebody else. */
export async function transfer(call: string, leg: number, target: Target): Promise<void> {
  await command("POST", `/calls/${call}/transfer`, { leg, targets: [target], ring_s: RING_S });
}

/** Parks the only partner of `leg`, which is hung up; gives the slot. */
export async function legPark(call: string, leg: number): Promise<number | undefined> {
  const answer = fields(await command("POST", `/calls/${call}/park`, { leg }));
  return number(answer["slot"]) ?? undefined;
}

export async function parkedList(): Promise<Parked[]> {
  return listOf(await request("GET", "/parked"), "parked", parseParked);
}

/** Rings one's own telephone into a parked call. */
export async function parkedPickup(slot: number): Promise<void> {
  await command("POST", `/parked/${slot}/pickup`, {});
}
