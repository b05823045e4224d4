/**
 * How the sides of a translated call listen: in which language, what they hear of the original, and how translations reach them.
 *
 *   GET /api/calls/{id}/listening ─┐
 *                                  ├─▶ Listening ─▶ live page, agent's page, call page
 *   call.listening ────────────────┘
 *
 * Pure. Each event has the state of both sides.
 */
import { fields, text } from "./shapes.js";
import { languageName } from "./words.js";

export type SideName = "customer" | "agent";
export type Hears = "original" | "ducked" | "translation";

/** What a side can hear, with the label of each choice. */
export const HEARS: readonly (readonly [value: Hears, label: string])[] = [
  ["original", "Original only"],
  ["ducked", "Translation over original"],
  ["translation", "Translation only"],
];

/** How one side listens. */
export interface Listener {
  /** Language that it speaks and hears. */
  language: string;
  hears: Hears;
  /** How translations reach it: `voice`, `faster`, `text` or `original`. */
  level: string;
}

export type Listening = Readonly<Record<SideName, Listener>>;

/** Changes for one side. */
export type ListenerPatch = Partial<Pick<Listener, "language" | "hears">>;

/** Parses the state of both sides; `undefined` if it is malformed. */
export function parseListening(value: unknown): Listening | undefined {
  const both = fields(value);
  const [customer, agent] = [parseListener(both["customer"]), parseListener(both["agent"])];
  return customer && agent && { customer, agent };
}

function parseListener(value: unknown): Listener | undefined {
  const listener = fields(value);
  const language = text(listener["language"]);
  if (language === null) return undefined;
  return { language, hears: parseHears(listener["hears"]), level: text(listener["level"]) ?? "voice" };
}

/** Parses what a side hears; an unknown word is the default. */
export function parseHears(value: unknown): Hears {
  const known = HEARS.find(([hears]) => hears === value);
  return known ? known[0] : "ducked";
}

/** Returns what a side hears at present, in words: `Spanish over the quieter original`. */
export function hearsText(listening: Listening, side: SideName): string {
  const { language, hears, level } = listening[side];
  const speaker = listening[side === "agent" ? "customer" : "agent"];
  const primary = (tag: string): string => tag.split("-")[0]?.toLowerCase() ?? "";
  if (primary(language) === primary(speaker.language)) return "the original: both speak the same language";
  if (hears === "original") return "the original; translations are shown as text";
  if (level === "original") return "the original: no translations come at present";
  const name = languageName(language);
  if (level === "text") return `the original: ${name} comes as text, because the voice would be too late`;
  const faster = level === "faster" ? ", sped up" : "";
  return hears === "translation" ? `only ${name}${faster}` : `${name} over the quieter original${faster}`;
}

/** Whether translations do not reach a side as it has chosen. */
export function isImpaired({ hears, level }: Listener): boolean {
  return hears !== "original" && (level === "text" || level === "original");
}
