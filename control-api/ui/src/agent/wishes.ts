/**
 * What the person wants of a leg, shown at once and until the server has said how it is.
 *
 *   wish ─▶ shown ─▶ request settles ─┬─ refused ─▶ gone: the server's state is shown again
 *                                     └─ done ─▶ kept until the server's state agrees, or it tells another one
 *
 * Rules: the newest wish of a flag counts, whatever becomes of those before it.
 */
import type { Leg, Legs } from "../legs.js";

export type Flag = "held" | "muted";

interface Wish {
  leg: number;
  flag: Flag;
  on: boolean;
  /** Names the request. */
  id: number;
  done: boolean;
}

export type Wishes = readonly Wish[];

export const NO_WISHES: Wishes = [];

export function wish(wishes: Wishes, leg: number, flag: Flag, on: boolean, id: number): Wishes {
  return [...wishes.filter((one) => one.leg !== leg || one.flag !== flag), { leg, flag, on, id, done: false }];
}

/** A request has been answered. One that a newer wish has overtaken changes nothing. */
export function settle(wishes: Wishes, id: number, done: boolean): Wishes {
  return wishes.flatMap((one) => (one.id !== id ? [one] : done ? [{ ...one, done }] : []));
}

/** The server's state of the legs came: what it agrees with needs no wish any more; nor does what is gone. */
export function compare(wishes: Wishes, legs: Legs): Wishes {
  const open = wishes.filter((one) => {
    const leg = legs.get(one.leg);
    return leg && leg.state !== "ended" && !(one.done && leg[one.flag] === one.on);
  });
  return open.length === wishes.length ? wishes : open;
}

/** The server told of a leg after the request was done: it has the last word. */
export function told(wishes: Wishes, leg: number): Wishes {
  return wishes.filter((one) => one.leg !== leg || !one.done);
}

/** The legs as the person wants them. */
export function wished(wishes: Wishes, legs: Legs): Legs {
  if (wishes.length === 0) return legs;
  const next = new Map<number, Leg>(legs);
  for (const { leg, flag, on } of wishes) {
    const known = next.get(leg);
    if (known) next.set(leg, { ...known, [flag]: on });
  }
  return next;
}
