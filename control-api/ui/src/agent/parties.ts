/**
 * Who is in the call, and what each of them hears now. The rules are those of the server (`call/hearing`), over what it has told of
 * the legs.
 *
 *   floor     hears all others on the floor who have a voice
 *   held      hears music or a soft tone, and nobody hears it
 *   holds     its own telephone has put the call on hold; its partner hears music
 *   aside     waits while somebody is called in its place
 *   gallery   a supervisor, who hears the floor
 */
import type { Leg, Legs } from "../legs.js";

export type PartyState = "ringing" | "talking" | "muted" | "held" | "holds" | "aside" | "parked" | "listening";

export interface Party {
  leg: number;
  /** The person at this page. */
  me: boolean;
  name: string;
  /** Number or address, when the name says something else. */
  address: string;
  state: PartyState;
  speaking: boolean;
  /** A sentence without its subject, such as `hears you and Luis`. */
  hears: string;
}

/** How people are called. */
export interface Names {
  /** SIP name of the person at this page. */
  me: string;
  /** The name of a colleague by SIP name, or of a target by its address; `undefined`: nobody knows it. */
  of(peer: string): string | undefined;
  /** Music plays on hold, and while a transfer calls somebody; else a soft tone, and ringing. */
  music?: boolean;
  /** The leg that is parked, and where. */
  parked?: { leg: number; slot: number } | undefined;
}

/** The person's own leg; the newest, when a call was taken back. Whom a colleague has called stands in the customer's place. */
export function ownLeg(legs: Legs, me: string): Leg | undefined {
  const mine = present(legs).filter((leg) => leg.peer === me);
  return mine.filter((leg) => leg.role !== "customer").at(-1) ?? mine.at(-1);
}

/** `aside`: the leg in whose place somebody else is being called. */
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
        return leg.supervises?.mode === "whisper" ? "hears everybody and whispers to an agent" : "hears everybody, and nobody hears it";
      default:
        return floorHears(leg);
    }
  };
  const floorHears = (leg: Leg): string => {
    const others = floor.filter((other) => other !== leg);
    if (others.length === 0) {
      if (all.some((other) => state(other) === "ringing")) return names.music ? "hears music" : "hears it ring";
      const holding = all.filter((other) => other !== leg && state(other) === "holds");
      if (holding.length > 0) return `${names.music ? "hears music" : "hears a soft tone"}: ${listed(holding.map(called))} ${holding.length === 1 && holding[0] !== mine ? "has" : "have"} put the call on hold`;
      return all.length === 1 ? "is alone" : "hears nobody: the others are on hold";
    }
    const voices = others.filter((other) => !other.muted);
    return voices.length === 0 ? `hears nobody: ${listed(others.map(called))} ${others.length === 1 && others[0] !== mine ? "is" : "are"} muted` : `hears ${listed(voices.map(called))}`;
  };
  return all
    .map((leg) => ({
      leg: leg.leg, me: leg === mine, name: leg === mine ? "You" : nameOf(leg, names), address: nameOf(leg, names) === leg.peer ? "" : leg.peer,
      state: state(leg), speaking: leg.speaking, hears: leg === mine ? ofYou(hears(leg)) : hears(leg),
    }))
    .sort((a, b) => Number(b.me) - Number(a.me) || a.leg - b.leg);
}

function present(legs: Legs): Leg[] {
  return [...legs.values()].filter((leg) => leg.state !== "ended" && leg.peer !== "").sort((a, b) => a.leg - b.leg);
}

function nameOf(leg: Leg, names: Names): string {
  return names.of(leg.peer) ?? leg.peer;
}

/** `you`, `you and Luis`, `you, Luis and Mei`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}

/** The sentence in the second person. */
function ofYou(sentence: string): string {
  return sentence.replace(/^hears\b/, "hear").replace(/^is\b/, "are").replace(/^has\b/, "have").replace(/^waits\b(.*) and hears\b/, "wait$1 and hear").replace(/\bnobody hears it\b/, "nobody hears you");
}

/** What can be done with the call as it stands. */
export interface Choices {
  /** All others are set aside: the button takes them back. */
  held: boolean;
  /** Those who are set aside, and those who are not. */
  heldLegs: number[];
  openLegs: number[];
  /** Some wait while others talk with the person: a consultation, which can be joined, swapped or handed over. */
  consulting: boolean;
  /** Others would go on talking without the person. */
  others: number;
  /** Somebody is being called into the call. */
  ringing: number[];
}

export function choices(all: readonly Party[]): Choices {
  const others = all.filter((party) => !party.me && party.state !== "listening");
  const legs = (wanted: (party: Party) => boolean): number[] => others.filter(wanted).map(({ leg }) => leg);
  const heldLegs = legs(({ state }) => state === "held");
  const openLegs = legs(({ state }) => state === "talking" || state === "muted" || state === "holds");
  return {
    held: heldLegs.length > 0 && openLegs.length === 0, heldLegs, openLegs,
    consulting: heldLegs.length > 0 && openLegs.length > 0, others: heldLegs.length + openLegs.length, ringing: legs(({ state }) => state === "ringing"),
  };
}
