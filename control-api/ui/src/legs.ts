/**
 * The legs of a call and their media: whether sound flows in both directions, why not, and how good it is.
 *
 * Fed by a fetched call (whole legs) and by events (`call.leg`, `call.flow`, `call.quality`: single changes).
 */

import { fields as record, number, text } from "./shapes.js";
import { causeText } from "./words.js";

/** One direction's state and, unless all is well, a sentence about it. */
export interface FlowState {
  state: string;
  detail: string | null;
}

export interface LegFlow {
  incoming: FlowState;
  outgoing: FlowState;
}

/** What one direction is worth; null where nobody told. */
export interface Score {
  mos: number | null;
  mos_call: number | null;
  loss_percent: number | null;
  jitter_ms: number | null;
  delay_ms: number | null;
}

export interface Quality {
  round_trip_ms: number | null;
  incoming: Score;
  outgoing: Score;
}

/** As the API sends it. */
export interface Leg {
  leg: number;
  role: string;
  state: string;
  peer: string;
  codec: string | null;
  /** It is set aside, and hears a soft tone. */
  held: boolean;
  /** The others hear silence in its place. */
  muted: boolean;
  /** Its own telephone has put the call on hold: it neither hears nor is heard, and its partner hears music. */
  holds: boolean;
  /** How much louder the others hear it; negative: quieter. */
  gainDb: number;
  /** What a supervisor does; null: the leg takes part in the conversation. */
  supervises: Supervises | null;
  /** It speaks; told of conferences only. */
  speaking: boolean;
  ending: LegEnding | null;
  flow: LegFlow | null;
  quality: Quality | null;
}

/** What a supervisor does. */
export type SuperviseMode = "listen" | "whisper" | "barge";

export interface Supervises {
  mode: SuperviseMode;
  /** Whom it whispers to; null: the first agent. */
  to: number | null;
}

/** How a leg ended: in the field's words, and raw as its signalling had it. */
export interface LegEnding {
  cause: string;
  /** `far_end`, `tandem` or `request`; "" when it was not told. */
  by: string;
  sipStatus: number | null;
  q850: number | null;
  text: string | null;
}

export type Legs = ReadonlyMap<number, Leg>;
export type Direction = "incoming" | "outgoing";
export type Tone = "good" | "warn" | "bad" | "idle";

export const NO_LEGS: Legs = new Map();

/** A fetched list, which is the whole truth. */
export function applyLegs(list: readonly unknown[]): Legs {
  return new Map(list.flatMap((one) => parseLeg(one) ?? []).map((leg) => [leg.leg, leg]));
}

/** One event of the stream; others give the same legs back. */
export function applyLegEvent(legs: Legs, kind: string, data: unknown): Legs {
  const event = record(data);
  const number = event["leg"];
  if (typeof number !== "number") return legs;
  const before = legs.get(number) ?? { leg: number, role: "", state: "answered", peer: "", codec: null, ...NO_SEAT, speaking: false, ending: null, flow: null, quality: null };
  const role = text(event["role"]) ?? before.role;
  let after: Leg;
  if (kind === "call.leg") {
    after = { ...before, role, state: text(event["state"]) ?? before.state, peer: text(event["peer"]) ?? before.peer, codec: text(event["codec"]) ?? before.codec, ending: parseEnding(event["ending"]) ?? before.ending };
  } else if (kind === "call.seat") after = { ...before, role, ...parseSeat(event) };
  else if (kind === "call.active_speaker") after = { ...before, role, speaking: event["active"] === true };
  else if (kind === "call.flow") after = { ...before, role, flow: parseFlow(event["flow"]) ?? before.flow };
  else if (kind === "call.quality") after = { ...before, role, quality: parseQuality(event["quality"]) ?? before.quality };
  else return legs;
  return new Map(legs).set(number, after);
}

const ROLES: readonly (readonly [role: string, name: string])[] = [["customer", "Customer"], ["agent", "Agent"], ["supervisor", "Supervisor"]];

/** Legs of which there is something to show: their media, or how they ended. Customers first, supervisors last, and only while they are there. */
export function shownLegs(legs: Legs): Leg[] {
  const rank = ({ role }: Leg): number => (ROLES.findIndex(([known]) => known === role) + ROLES.length + 1) % (ROLES.length + 1);
  return [...legs.values()]
    .filter((leg) => (leg.role === "supervisor" ? leg.state !== "ended" : leg.flow !== null || leg.quality !== null || leg.ending !== null))
    .sort((a, b) => rank(a) - rank(b) || a.leg - b.leg);
}

export function roleName(role: string): string {
  return ROLES.find(([known]) => known === role)?.[1] ?? "Party";
}

/** Who a leg is where there may be several of its role: `Agent ana`. The peer of an agent is a name or an address. */
export function legName(leg: Pick<Leg, "role" | "peer">): string {
  const name = /^(?:sips?:)?([^@;]+)/.exec(leg.peer)?.[1] ?? "";
  return [roleName(leg.role), name].filter(Boolean).join(" ");
}

/** What a leg does besides talking, in a word or two; "" when it simply talks. */
export function seatText(leg: Seat, legs: Legs): string {
  return [
    leg.supervises ? superviseText(leg.supervises, legs) : "", leg.held ? "On hold" : "", leg.holds ? "Holds the call" : "", leg.muted ? "Muted" : "", gainText(leg.gainDb),
  ].filter(Boolean).join(", ");
}

function gainText(db: number): string {
  return db === 0 ? "" : `${Math.abs(db)} dB ${db > 0 ? "louder" : "quieter"}`;
}

function superviseText({ mode, to }: Supervises, legs: Legs): string {
  if (mode === "listen") return "Listens";
  if (mode === "barge") return "Heard by all";
  const listener = to === null ? undefined : legs.get(to);
  return `Whispers to ${listener ? legName(listener) : "the agent"}`;
}

/** Legs that a supervisor can whisper to: those that talk. */
export function whisperTargets(legs: Legs): Leg[] {
  return [...legs.values()].filter((leg) => leg.state === "answered" && leg.role !== "supervisor").sort((a, b) => a.role.localeCompare(b.role) || a.leg - b.leg);
}

const STATES: Record<Direction, Record<string, readonly [Tone, string]>> = {
  incoming: {
    flowing: ["good", "Sound comes in"],
    silence: ["warn", "Silence comes in"],
    no_packets_yet: ["warn", "Nothing has come in"],
    stopped: ["bad", "Sound has stopped"],
    unreachable: ["bad", "Out of reach"],
    wrong_address: ["bad", "Wrong source address"],
    undecryptable: ["bad", "Cannot be decrypted"],
    wrong_payload_type: ["bad", "Wrong audio format"],
    on_hold: ["idle", "On hold"],
  },
  outgoing: {
    sending: ["good", "Sound goes out"],
    far_end_reports_loss: ["bad", "Much is lost on the way"],
    far_end_reports_nothing: ["idle", "Goes out, unconfirmed"],
    nothing_to_send: ["idle", "Nothing to send"],
    on_hold: ["idle", "On hold"],
  },
};

/** States that need no explanation. */
const PLAIN = new Set(["flowing", "sending", "on_hold", "nothing_to_send"]);

/** What the page says of one direction. */
export function describe(direction: Direction, flow: FlowState): { tone: Tone; label: string; why: string | null } {
  const [tone, label] = STATES[direction][flow.state] ?? ["idle", flow.state.replaceAll("_", " ")];
  return { tone, label, why: PLAIN.has(flow.state) ? null : flow.detail };
}

/** The worst that is wrong with the sound of a call's legs, in few words; nothing while all is well. */
export function trouble(legs: Legs): { tone: Tone; text: string } | undefined {
  const found = [...legs.values()].flatMap((leg) => {
    if (leg.state === "ended" || leg.flow === null) return [];
    return (["incoming", "outgoing"] as const).map((direction) => ({ leg, ...describe(direction, (leg.flow as LegFlow)[direction]) }));
  });
  const worst = found.find(({ tone }) => tone === "bad") ?? found.find(({ tone }) => tone === "warn");
  return worst && { tone: worst.tone, text: `${roleName(worst.leg.role)}: ${worst.label.charAt(0).toLowerCase()}${worst.label.slice(1)}` };
}

/** `MOS 4.3, 0.4 % lost, 48 ms`: what is known of the last seconds, or of the whole call when it is over. */
export function scoreText(score: Score, ended = false): string {
  if (ended) return score.mos_call === null ? "" : `MOS ${score.mos_call.toFixed(1)} over the call`;
  const parts = [
    score.mos !== null ? `MOS ${score.mos.toFixed(1)}` : score.mos_call !== null ? `MOS ${score.mos_call.toFixed(1)} so far` : "",
    score.loss_percent !== null && score.loss_percent >= 0.05 ? `${score.loss_percent.toFixed(1)} % lost` : "",
    score.mos !== null && score.delay_ms !== null ? `${Math.round(score.delay_ms)} ms` : "",
  ];
  return parts.filter(Boolean).join(", ");
}

/** How a leg ended, and as its signalling had it. */
export function endingText(ending: LegEnding | null, answered: boolean): string {
  if (!ending) return "";
  const raw = [ending.sipStatus === null ? "" : `SIP ${ending.sipStatus}`, ending.q850 === null ? "" : `Q.850 ${ending.q850}`, ending.text ?? ""].filter(Boolean).join(", ");
  const gaveUp = ending.by === "far_end" && ending.cause === "cancelled";
  const cause = ending.cause === "normal" || gaveUp ? "" : causeText(ending.cause).replace(/\.$/, "");
  const who = gaveUp ? "Gave up before the answer" : ending.by === "far_end" ? (answered ? "Hung up" : "Refused") : ending.by === "request" ? "Ended by request" : ending.by === "tandem" ? "Ended by Tandem" : "Ended";
  const said = cause === "" ? who : `${who}: ${cause.charAt(0).toLowerCase()}${cause.slice(1)}`;
  return raw === "" ? said : `${said} (${raw})`;
}

function parseLeg(value: unknown): Leg | undefined {
  const leg = record(value);
  const { leg: number, role, state } = leg;
  if (typeof number !== "number" || typeof role !== "string" || typeof state !== "string") return undefined;
  const [peer, codec] = [text(leg["peer"]) ?? "", text(leg["codec"])];
  return { leg: number, role, state, peer, codec, ...parseSeat(leg), speaking: false, ending: parseEnding(leg["ending"]), flow: parseFlow(leg["flow"]), quality: parseQuality(leg["quality"]) };
}

/** What a leg does in the call besides talking. */
export type Seat = Pick<Leg, "held" | "muted" | "holds" | "gainDb" | "supervises">;

export const NO_SEAT: Seat = { held: false, muted: false, holds: false, gainDb: 0, supervises: null };

export function parseSeat(value: unknown): Seat {
  const seat = record(value);
  return { held: seat["held"] === true, muted: seat["muted"] === true, holds: seat["holds"] === true, gainDb: number(seat["gain_db"]) ?? 0, supervises: parseSupervises(seat["supervises"]) };
}

export function parseEnding(value: unknown): LegEnding | null {
  const ending = record(value);
  const cause = text(ending["cause"]);
  return cause === null ? null : { cause, by: text(ending["by"]) ?? "", sipStatus: number(ending["sip_status"]), q850: number(ending["q850"]), text: text(ending["text"]) };
}

/** `listen`, `barge`, or whom it whispers to: `{"whisper": 2}`, null for the first agent. */
function parseSupervises(value: unknown): Supervises | null {
  if (value === "listen" || value === "barge") return { mode: value, to: null };
  const told = record(value);
  return value === "whisper" || "whisper" in told ? { mode: "whisper", to: number(told["whisper"]) } : null;
}

function parseFlow(value: unknown): LegFlow | null {
  const flow = record(value);
  const state = (one: unknown): FlowState | null => {
    const word = text(record(one)["state"]);
    return word === null ? null : { state: word, detail: text(record(one)["detail"]) };
  };
  const [incoming, outgoing] = [state(flow["incoming"]), state(flow["outgoing"])];
  return incoming && outgoing ? { incoming, outgoing } : null;
}

function parseQuality(value: unknown): Quality | null {
  if (typeof value !== "object" || value === null) return null;
  const quality = record(value);
  const score = (one: unknown): Score => {
    const of = (name: string): number | null => number(record(one)[name]);
    return { mos: of("mos"), mos_call: of("mos_call"), loss_percent: of("loss_percent"), jitter_ms: of("jitter_ms"), delay_ms: of("delay_ms") };
  };
  return { round_trip_ms: number(quality["round_trip_ms"]), incoming: score(quality["incoming"]), outgoing: score(quality["outgoing"]) };
}
