/**
 * Wishes: changes of a leg that the user has requested. They are shown at once, until the server has reported the leg's new state.
 *
 *   wish ─▶ shown ─▶ request settles ─┬─ refused ─▶ removed: the server's state is shown again
 *                                     └─ done ─▶ kept until the server's state agrees, or the server reports another state
 *
 * The newest wish for a flag counts, whatever the result of earlier ones.
 */
import type { Leg, Legs } from "../legs.js";

export type Flag = "held" | "muted";

interface Wish {
  leg: number;
  flag: Flag;
  on: boolean;
  /** Identifies the request. */
  id: number;
  done: boolean;
}

export type Wishes = readonly Wish[];

export const NO_WISHES: Wishes = [];

/** Returns the wishes with a new one, which replaces an older one for the same flag. */
export function wish(wishes: Wishes, leg: number, flag: Flag, on: boolean, id: number): Wishes {
  return [...wishes.filter((one) => one.leg !== leg || one.flag !== flag), { leg, flag, on, id, done: false }];
}

/** Returns the wishes after a request was answered; nothing changes if a newer wish has replaced it. */
export function settle(wishes: Wishes, id: number, done: boolean): Wishes {
  return wishes.flatMap((one) => (one.id !== id ? [one] : done ? [{ ...one, done }] : []));
}

/** Returns the wishes that are still needed, given the server's state: neither fulfilled ones nor those of legs that have ended. */
export function compare(wishes: Wishes, legs: Legs): Wishes {
  const open = wishes.filter((one) => {
    const leg = legs.get(one.leg);
    return leg && leg.state !== "ended" && !(one.done && leg[one.flag] === one.on);
  });
  return open.length === wishes.length ? wishes : open;
}

/** Returns the wishes without those of `leg` whose request is done, because the server has reported the leg since. */
export function dropDone(wishes: Wishes, leg: number): Wishes {
  return wishes.filter((one) => one.leg !== leg || !one.done);
}

/** Returns the legs with the wishes applied. */
export function applyWishes(wishes: Wishes, legs: Legs): Legs {
  if (wishes.length === 0) return legs;
  const next = new Map<number, Leg>(legs);
  for (const { leg, flag, on } of wishes) {
    const known = next.get(leg);
    if (known) next.set(leg, { ...known, [flag]: on });
  }
  return next;
}
