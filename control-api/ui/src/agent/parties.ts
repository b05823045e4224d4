/**
 * The parties of the call and what each of them hears. The rules are those of the server (`call/hearing`), applied to the legs that
 * the server has reported.
 *
 *   floor     hears all others on the floor who are not muted
 *   held      hears music or a soft tone, and is heard by nobody
 *   holds     its own phone has put the call on hold; its partner hears music
 *   aside     waits while a transfer calls someone to take its place
 *   gallery   a supervisor, who hears the floor
 */
import type { Leg, Legs } from "../legs.js";

export type PartyState = "ringing" | "talking" | "muted" | "held" | "holds" | "aside" | "parked" | "listening";

/** One party of the call, as the page shows it. */
export interface Party {
  leg: number;
  /** Whether this is the user of this page. */
  me: boolean;
  name: string;
  /** Number or address; "" if it is the name already. */
  address: string;
  state: PartyState;
  speaking: boolean;
  /** What the party hears, as a sentence without its subject, such as `hears you and Luis`. */
  hears: string;
}

/** Names of people, and what waiting parties hear. */
export interface Names {
  /** SIP name of this page's user. */
  me: string;
  /** Returns the name of a colleague by SIP name, or of a target by address; `undefined` if unknown. */
  of(peer: string): string | undefined;
  /** Whether music plays on hold and while a transfer rings; otherwise a soft tone and ringing. */
  music?: boolean;
  /** The parked leg and its slot. */
  parked?: { leg: number; slot: number } | undefined;
}

/**
 * Returns the user's own leg, the newest if a call was taken back. A leg with the customer's role counts only if there is no other:
 * an agent who was called by a colleague has that role.
 */
export function ownLeg(legs: Legs, me: string): Leg | undefined {
  const mine = present(legs).filter((leg) => leg.peer === me);
  return mine.filter((leg) => leg.role !== "customer").at(-1) ?? mine.at(-1);
}

/** Returns the parties of the call, the user first. `aside`: the leg that a transfer in progress replaces. */
export function parties(legs: Legs, names: Names, aside?: number): Party[] {
  const mine = ownLeg(legs, names.me);
  const all = present(legs).filter((leg) => leg.peer !== names.me || leg === mine);
  const state = (leg: Leg): PartyState => {
    if (leg.state !== "answered") return "ringing";
    if (leg.supervises !== null && leg.supervises.mode !== "barge") return "listening";
    if (leg.leg === aside) return "aside";
    if (leg.leg === names.parked?.leg) return "parked";
    return leg.held ? "held" : leg.holds ? "holds" : leg.muted ? "muted" : "talking";
  };
  const called = (leg: Leg): string => (leg === mine ? "you" : nameOf(leg, names));
  const floor = all.filter((leg) => ["talking", "muted"].includes(state(leg)));
  const hears = (leg: Leg): string => {
    switch (state(leg)) {
      case "ringing":
        return "is being called";
      case "held":
        return names.music ? "hears music" : "hears a soft tone";
      case "parked":
        return `waits in slot ${names.parked?.slot ?? ""} and hears ${names.music ? "music" : "a soft tone"}`;
      case "holds":
        return "has put the call on hold";
      case "aside":
        return "is out of the conversation until the transfer is done";
      case "listening":
        return leg.supervises?.mode === "whisper" ? "hears everybody and whispers to an agent" : "hears everybody, and nobody hears them";
      default:
        return floorHears(leg);
    }
  };
  const floorHears = (leg: Leg): string => {
    const others = floor.filter((other) => other !== leg);
    if (others.length === 0) {
      if (all.some((other) => state(other) === "ringing")) return names.music ? "hears music" : "hears ringing";
      const holding = all.filter((other) => other !== leg && state(other) === "holds");
      if (holding.length > 0)
        return `${names.music ? "hears music" : "hears a soft tone"}: ${joinNames(holding.map(called))} ${holding.length === 1 && holding[0] !== mine ? "has" : "have"} put the call on hold`;
      return all.length === 1 ? "is alone" : "hears nobody: the others are on hold";
    }
    const voices = others.filter((other) => !other.muted);
    return voices.length === 0
      ? `hears nobody: ${joinNames(others.map(called))} ${others.length === 1 && others[0] !== mine ? "is" : "are"} muted`
      : `hears ${joinNames(voices.map(called))}`;
  };
  return all
    .map((leg) => ({
      leg: leg.leg,
      me: leg === mine,
      name: leg === mine ? "You" : nameOf(leg, names),
      address: nameOf(leg, names) === leg.peer ? "" : leg.peer,
      state: state(leg),
      speaking: leg.speaking,
      hears: leg === mine ? ofYou(hears(leg)) : hears(leg),
    }))
    .sort((a, b) => Number(b.me) - Number(a.me) || a.leg - b.leg);
}

function present(legs: Legs): Leg[] {
  return [...legs.values()].filter((leg) => leg.state !== "ended" && leg.peer !== "").sort((a, b) => a.leg - b.leg);
}

function nameOf(leg: Leg, names: Names): string {
  return names.of(leg.peer) ?? leg.peer;
}

/** Joins names for a sentence: `you`, `you and Luis`, `you, Luis and Mei`. */
export function joinNames(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}

/** Returns the sentence in the second person. */
function ofYou(sentence: string): string {
  return sentence
    .replace(/^hears\b/, "hear")
    .replace(/^is\b/, "are")
    .replace(/^has\b/, "have")
    .replace(/^waits\b(.*) and hears\b/, "wait$1 and hear")
    .replace(/\bnobody hears them\b/, "nobody hears you");
}

/** The actions that the current state of the call allows. */
export interface Choices {
  /** Whether all others are on hold, so that the hold button resumes them. */
  held: boolean;
  /** Legs of the others that are on hold, and those that are not. */
  heldLegs: number[];
  openLegs: number[];
  /** Whether some are on hold while others talk with the user: a consultation, which can be merged, swapped or handed over. */
  consulting: boolean;
  /** Number of other parties, on hold or not. */
  others: number;
  /** Legs that are being called into the call. */
  ringing: number[];
}

/** Returns the actions that the current parties allow. */
export function choices(all: readonly Party[]): Choices {
  const others = all.filter((party) => !party.me && party.state !== "listening");
  const legs = (wanted: (party: Party) => boolean): number[] => others.filter(wanted).map(({ leg }) => leg);
  const heldLegs = legs(({ state }) => state === "held");
  const openLegs = legs(({ state }) => state === "talking" || state === "muted" || state === "holds");
  return {
    held: heldLegs.length > 0 && openLegs.length === 0,
    heldLegs,
    openLegs,
    consulting: heldLegs.length > 0 && openLegs.length > 0,
    others: heldLegs.length + openLegs.length,
    ringing: legs(({ state }) => state === "ringing"),
  };
}
