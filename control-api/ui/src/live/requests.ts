/** The part of the server's REST API for supervision. All functions reject with an `ApiError` when the server refuses. */
import { request } from "../http.js";
import type { Supervises } from "../legs.js";
import { fields, number } from "../shapes.js";

const path = (call: string, rest: string): string => `/calls/${encodeURIComponent(call)}/${rest}`;
const body = ({ mode, to }: Supervises): object => (mode === "whisper" && to !== null ? { mode, whisper_to: to } : { mode });

/** Has the server call the user's own phone into a call; returns the number of the leg. */
export async function superviseStart(call: string, wish: Supervises): Promise<number> {
  const leg = number(fields(await request("POST", path(call, "supervise"), body(wish)))["leg"]);
  if (leg === null) throw new Error("The server did not return a leg.");
  return leg;
}

/** Changes the mode of a supervisor's leg. */
export async function superviseChange(call: string, leg: number, wish: Supervises): Promise<void> {
  await request("PUT", path(call, `supervise/${leg}`), body(wish));
}

/** Hangs up a leg. */
export async function legDrop(call: string, leg: number): Promise<void> {
  await request("DELETE", path(call, `legs/${leg}`));
}
