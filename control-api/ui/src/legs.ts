/**
 * The legs of a call and their media: whether sound flows in both directions, why not, and its quality.
 *
 *   fetched call (whole legs) ────────────────────────────────────────────────────┐
 *   call.leg, call.flow, call.quality, call.seat, call.amd, call.active_speaker ───┴▶ legs ─▶ texts for the pages
 *
 * Pure. Parsers accept missing and malformed fields; unknown states are shown by their own word.
 */

import { type Amd, applyAmdEvent, parseAmd } from "./amd/state.js";
import { number, fields as record, text } from "./shapes.js";
import { causeText } from "./words.js";

/** State of one direction with the server's explanation, which is null if there is nothing to explain. */
export interface FlowState {
  state: string;
  detail: string | null;
}

export interface LegFlow {
  incoming: FlowState;
  outgoing: FlowState;
}

/** Quality of one direction; null where unknown. */
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

/** A leg, as the API sends it. */
export interface Leg {
  leg: number;
  role: string;
  state: string;
  peer: string;
  codec: string | null;
  /** Whether it was put on hold, and hears music or a soft tone. */
  held: boolean;
  /** Whether it is muted for the others. */
  muted: boolean;
  /** Whether its own phone has put the call on hold: it neither hears nor is heard, and its partner hears music. */
  holds: boolean;
  /** Change of its volume for the others, in dB. */
  gainDb: number;
  /** Supervision mode; null for a leg that takes part in the conversation. */
  supervises: Supervises | null;
  /** Whether it is speaking; reported in conferences only. */
  speaking: boolean;
  ending: LegEnding | null;
  flow: LegFlow | null;
  quality: Quality | null;
  /** What is known about who answered; null for a leg that is not screened. */
  amd: Amd | null;
}

/** Supervision mode: hears only, talks to one agent, or talks to everybody. */
export type SuperviseMode = "listen" | "whisper" | "barge";

export interface Supervises {
  mode: SuperviseMode;
  /** Leg that hears the whisper; null for the first agent. */
  to: number | null;
}

/** How a leg ended: the API's cause, and the raw values of its signalling. */
export interface LegEnding {
  cause: string;
  /** `far_end`, `tandem` or `request`; "" if unknown. */
  by: string;
  sipStatus: number | null;
  q850: number | null;
  text: string | null;
}

export type Legs = ReadonlyMap<number, Leg>;
export type Direction = "incoming" | "outgoing";
export type Tone = "good" | "warn" | "bad" | "idle";

export const NO_LEGS: Legs = new Map();

/** Returns the legs of a fetched list, which is complete except for what only events bring. `before`: the legs known so far. */
export function applyLegs(list: readonly unknown[], before: Legs = NO_LEGS): Legs {
  return new Map(list.flatMap((one) => parseLeg(one, before) ?? []).map((leg) => [leg.leg, leg]));
}

/** Returns the legs after one event; events of other kinds change nothing. */
export function applyLegEvent(legs: Legs, kind: string, data: unknown): Legs {
  const event = record(data);
  const number = event["leg"];
  if (typeof number !== "number") return legs;
  const before = legs.get(number) ?? {
    leg: number,
    role: "",
    state: "answered",
    peer: "",
    codec: null,
    ...NO_SEAT,
    speaking: false,
    ending: null,
    flow: null,
    quality: null,
    amd: null,
  };
  const role = text(event["role"]) ?? before.role;
  let after: Leg;
  if (kind === "call.leg") {
    after = {
      ...before,
      role,
      state: text(event["state"]) ?? before.state,
      peer: text(event["peer"]) ?? before.peer,
      codec: text(event["codec"]) ?? before.codec,
      ending: parseEnding(event["ending"]) ?? before.ending,
    };
  } else if (kind === "call.seat") after = { ...before, role, ...parseSeat(event) };
  else if (kind === "call.active_speaker") after = { ...before, role, speaking: event["active"] === true };
  else if (kind === "call.flow") after = { ...before, role, flow: parseFlow(event["flow"]) ?? before.flow };
  else if (kind === "call.amd") after = { ...before, role, amd: applyAmdEvent(before.amd, event) };
  else if (kind === "call.quality") after = { ...before, role, quality: parseQuality(event["quality"]) ?? before.quality };
  else return legs;
  return new Map(legs).set(number, after);
}

const ROLES: readonly (readonly [role: string, name: string])[] = [
  ["customer", "Customer"],
  ["agent", "Agent"],
  ["supervisor", "Supervisor"],
];

/**
 * Returns the legs that have media or an ending to show, customers first. Supervisors come last, and only while they are in the call.
 */
export function shownLegs(legs: Legs): Leg[] {
  const rank = ({ role }: Leg): number => (ROLES.findIndex(([known]) => known === role) + ROLES.length + 1) % (ROLES.length + 1);
  return [...legs.values()]
    .filter((leg) => (leg.role === "supervisor" ? leg.state !== "ended" : leg.flow !== null || leg.quality !== null || leg.ending !== null))
    .sort((a, b) => rank(a) - rank(b) || a.leg - b.leg);
}

/** Returns the name of a role for people. */
export function roleName(role: string): string {
  return ROLES.find(([known]) => known === role)?.[1] ?? "Party";
}

/** Returns role and name of a leg, such as `Agent ana`. The peer of an agent is a name or an address. */
export function legName(leg: Pick<Leg, "role" | "peer">): string {
  const name = /^(?:sips?:)?([^@;]+)/.exec(leg.peer)?.[1] ?? "";
  return [roleName(leg.role), name].filter(Boolean).join(" ");
}

/** Returns the state of a leg in a few words, such as hold, mute or supervision; "" if it simply talks. */
export function seatText(leg: Seat, legs: Legs): string {
  return [
    leg.supervises ? superviseText(leg.supervises, legs) : "",
    leg.held ? "On hold" : "",
    leg.holds ? "Put the call on hold" : "",
    leg.muted ? "Muted" : "",
    gainText(leg.gainDb),
  ]
    .filter(Boolean)
    .join(", ");
}

function gainText(db: number): string {
  return db === 0 ? "" : `${Math.abs(db)} dB ${db > 0 ? "louder" : "quieter"}`;
}

function superviseText({ mode, to }: Supervises, legs: Legs): string {
  if (mode === "listen") return "Listens";
  if (mode === "barge") return "Heard by everybody";
  const listener = to === null ? undefined : legs.get(to);
  return `Whispers to ${listener ? legName(listener) : "the agent"}`;
}

/** Returns the legs that a supervisor can whisper to, agents first. */
export function whisperTargets(legs: Legs): Leg[] {
  return [...legs.values()]
    .filter((leg) => leg.state === "answered" && leg.role !== "supervisor")
    .sort((a, b) => a.role.localeCompare(b.role) || a.leg - b.leg);
}

const STATES: Record<Direction, Record<string, readonly [Tone, string]>> = {
  incoming: {
    flowing: ["good", "Receiving sound"],
    silence: ["warn", "Receiving silence"],
    no_packets_yet: ["warn", "Nothing received yet"],
    stopped: ["bad", "Sound has stopped"],
    unreachable: ["bad", "Unreachable"],
    wrong_address: ["bad", "Wrong source address"],
    undecryptable: ["bad", "Cannot be decrypted"],
    wrong_payload_type: ["bad", "Wrong audio format"],
    on_hold: ["idle", "On hold"],
  },
  outgoing: {
    sending: ["good", "Sending sound"],
    far_end_reports_loss: ["bad", "High packet loss"],
    far_end_reports_nothing: ["idle", "Sending, unconfirmed"],
    nothing_to_send: ["idle", "Nothing to send"],
    on_hold: ["idle", "On hold"],
  },
};

/** States whose explanation is not shown. */
const PLAIN = new Set(["flowing", "sending", "on_hold", "nothing_to_send"]);

/** Returns tone, label and explanation of one direction. */
export function describe(direction: Direction, flow: FlowState): { tone: Tone; label: string; why: string | null } {
  const [tone, label] = STATES[direction][flow.state] ?? ["idle", flow.state.replaceAll("_", " ")];
  return { tone, label, why: PLAIN.has(flow.state) ? null : flow.detail };
}

/** Returns the worst problem with the sound of a call's legs, in a few words; `undefined` if there is none. */
export function trouble(legs: Legs): { tone: Tone; text: string } | undefined {
  const found = [...legs.values()].flatMap((leg) => {
    if (leg.state === "ended" || leg.flow === null) return [];
    return (["incoming", "outgoing"] as const).map((direction) => ({ leg, ...describe(direction, (leg.flow as LegFlow)[direction]) }));
  });
  const worst = found.find(({ tone }) => tone === "bad") ?? found.find(({ tone }) => tone === "warn");
  return worst && { tone: worst.tone, text: `${roleName(worst.leg.role)}: ${worst.label.charAt(0).toLowerCase()}${worst.label.slice(1)}` };
}

/** Returns the known quality of the last seconds, such as `MOS 4.3, 0.4 % lost, 48 ms`; of the whole call if the leg has `ended`. */
export function scoreText(score: Score, ended = false): string {
  if (ended) return score.mos_call === null ? "" : `MOS ${score.mos_call.toFixed(1)} over the call`;
  const parts = [
    score.mos !== null ? `MOS ${score.mos.toFixed(1)}` : score.mos_call !== null ? `MOS ${score.mos_call.toFixed(1)} so far` : "",
    score.loss_percent !== null && score.loss_percent >= 0.05 ? `${score.loss_percent.toFixed(1)} % lost` : "",
    score.mos !== null && score.delay_ms !== null ? `${Math.round(score.delay_ms)} ms` : "",
  ];
  return parts.filter(Boolean).join(", ");
}

/** Returns how a leg ended, with the raw values of its signalling. `answered`: whether the leg was answered. */
export function endingText(ending: LegEnding | null, answered: boolean): string {
  if (!ending) return "";
  const raw = [
    ending.sipStatus === null ? "" : `SIP ${ending.sipStatus}`,
    ending.q850 === null ? "" : `Q.850 ${ending.q850}`,
    ending.text ?? "",
  ]
    .filter(Boolean)
    .join(", ");
  const gaveUp = ending.by === "far_end" && ending.cause === "cancelled";
  const cause = ending.cause === "normal" || gaveUp ? "" : causeText(ending.cause).replace(/\.$/, "");
  const who = gaveUp
    ? "Gave up before an answer"
    : ending.by === "far_end"
      ? answered
        ? "Hung up"
        : "Refused"
      : ending.by === "request"
        ? "Ended by request"
        : ending.by === "tandem"
          ? "Ended by Tandem"
          : "Ended";
  const said = cause === "" ? who : `${who}: ${cause.charAt(0).toLowerCase()}${cause.slice(1)}`;
  return raw === "" ? said : `${said} (${raw})`;
}

function parseLeg(value: unknown, known: Legs): Leg | undefined {
  const leg = record(value);
  const { leg: number, role, state } = leg;
  if (typeof number !== "number" || typeof role !== "string" || typeof state !== "string") return undefined;
  const [peer, codec] = [text(leg["peer"]) ?? "", text(leg["codec"])];
  return {
    leg: number,
    role,
    state,
    peer,
    codec,
    ...parseSeat(leg),
    speaking: false,
    ending: parseEnding(leg["ending"]),
    flow: parseFlow(leg["flow"]),
    quality: parseQuality(leg["quality"]),
    amd: parseAmd(leg["amd"], known.get(number)?.amd ?? null),
  };
}

/** State of a leg in the call: hold, mute, volume, supervision. */
export type Seat = Pick<Leg, "held" | "muted" | "holds" | "gainDb" | "supervises">;

export const NO_SEAT: Seat = { held: false, muted: false, holds: false, gainDb: 0, supervises: null };

/** Parses a leg's seat; missing fields have their defaults. */
export function parseSeat(value: unknown): Seat {
  const seat = record(value);
  return {
    held: seat["held"] === true,
    muted: seat["muted"] === true,
    holds: seat["holds"] === true,
    gainDb: number(seat["gain_db"]) ?? 0,
    supervises: parseSupervises(seat["supervises"]),
  };
}

/** Parses a leg's ending; null if there is none. */
export function parseEnding(value: unknown): LegEnding | null {
  const ending = record(value);
  const cause = text(ending["cause"]);
  return cause === null
    ? null
    : {
        cause,
        by: text(ending["by"]) ?? "",
        sipStatus: number(ending["sip_status"]),
        q850: number(ending["q850"]),
        text: text(ending["text"]),
      };
}

/** Parses `listen`, `barge` or a whisper with its listener, such as `{"whisper": 2}`; null means the first agent. */
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
    return {
      mos: of("mos"),
      mos_call: of("mos_call"),
      loss_percent: of("loss_percent"),
      jitter_ms: of("jitter_ms"),
      delay_ms: of("delay_ms"),
    };
  };
  return { round_trip_ms: number(quality["round_trip_ms"]), incoming: score(quality["incoming"]), outgoing: score(quality["outgoing"]) };
}
