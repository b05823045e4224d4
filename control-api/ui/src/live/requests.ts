/** The server's REST interface, as far as supervising goes. */
import { request } from "../http.js";
import type { Supervises } from "../legs.js";
import { fields, number } from "../shapes.js";

const path = (call: string, rest: string): string => `/calls/${encodeURIComponent(call)}/${rest}`;
const body = ({ mode, to }: Supervises): object => (mode === "whisper" && to !== null ? { mode, whisper_to: to } : { mode });

/** Has one's own telephone called into a call; gives the leg's number. */
export async function superviseStart(call: string, wish: Supervises): Promise<number> {
  const leg = number(fields(await request("POST", path(call, "supervise"), body(wish)))["leg"]);
  if (leg === null) throw new Error("The server told no leg.");
  return leg;
}

export async function superviseChange(call: string, leg: number, wish: Supervises): Promise<void> {
  await request("PUT", path(call, `supervise/${leg}`), body(wish));
}

export async function legDrop(call: string, leg: number): Promise<void> {
  await request("DELETE", path(call, `legs/${leg}`));
}
