/** Parsers for a call with its legs, events, recording, outcome and notes. */
import { type Call, parseCall } from "../calls.js";
import { applyLegs, type LegEnding, type Legs, parseEnding } from "../legs.js";
import { type Part, parsePart } from "../recordings.js";
import { compareTimes, fields, listOf, number, text } from "../shapes.js";

/** Times, ending and quality of a leg. */
export interface LegTimes {
  leg: number;
  role: string;
  peer: string;
  codec: string | null;
  createdAt: string | null;
  answeredAt: string | null;
  endedAt: string | null;
  /** How the leg ended; null while it runs. */
  ending: LegEnding | null;
  /** Loss, jitter and round trip over the whole call in words; "" if unknown. */
  quality: string;
}

/** A call with everything the server sends about it. */
export interface CallDetail {
  call: Call;
  legs: Legs;
  times: LegTimes[];
  events: CallEventRecord[];
  /** The files of the first recording, in order. */
  parts: Part[];
}

/** One event of a call. `body` is the server's object. */
export interface CallEventRecord {
  id: number | null;
  type: string;
  at: string | null;
  body: Record<string, unknown>;
}

/** Parses a call; `undefined` if it is malformed. `recordingPath`: address of the first file of its first recording. */
export function parseDetail(value: unknown, recordingPath = ""): CallDetail | undefined {
  const call = parseCall(value);
  if (!call) return undefined;
  const legs = fields(value)["legs"];
  const parts = listOf(value, "recording_parts", (part) => parsePart(part, 1, recordingPath));
  return {
    call,
    legs: applyLegs(Array.isArray(legs) ? legs : []),
    times: listOf(value, "legs", parseTimes),
    events: listOf(value, "events", parseEvent),
    parts: parts.length > 0 ? parts : [parsePart(fields(value)["recording"], 1, recordingPath) ?? []].flat(),
  };
}

function parseTimes(value: unknown): LegTimes | undefined {
  const leg = fields(value);
  const [identity, role] = [number(leg["leg"]), text(leg["role"])];
  if (identity === null || role === null) return undefined;
  return {
    leg: identity,
    role,
    peer: text(leg["peer"]) ?? "",
    codec: text(leg["codec"]),
    createdAt: text(leg["created_at"]),
    answeredAt: text(leg["answered_at"]),
    endedAt: text(leg["ended_at"]),
    ending: parseEnding(leg["ending"]),
    quality: qualityText(fields(leg["quality"])),
  };
}

function qualityText(quality: Record<string, unknown>): string {
  const [received, lost] = [number(quality["packets_received"]), number(quality["packets_lost"])];
  const [jitter, trip] = [number(quality["jitter_ms"]), number(quality["round_trip_ms"])];
  const all = (received ?? 0) + (lost ?? 0);
  return [
    received !== null && lost !== null && all > 0 ? `${((100 * lost) / all).toFixed(1)} % lost` : "",
    jitter !== null ? `jitter ${jitter.toFixed(1)} ms` : "",
    trip !== null ? `round trip ${Math.round(trip)} ms` : "",
  ]
    .filter(Boolean)
    .join(", ");
}

/** Parses an event from the store or the stream; `undefined` without a type. */
export function parseEvent(value: unknown): CallEventRecord | undefined {
  const body = fields(value);
  const type = text(body["type"]) ?? text(body["kind"]);
  return type === null ? undefined : { id: number(body["id"]), type, at: text(body["at"]), body };
}

/** Whether two objects describe the same event; only those from the store have an id. */
export function isSame(a: CallEventRecord, b: CallEventRecord): boolean {
  if (a.id !== null && b.id !== null) return a.id === b.id;
  const without = ({ body }: CallEventRecord): string =>
    JSON.stringify(Object.entries({ ...body, id: null }).sort(([x], [y]) => x.localeCompare(y)));
  return a.type === b.type && a.at === b.at && without(a) === without(b);
}

export interface OutcomeEntry {
  outcome: string;
  note: string | null;
  setBy: string;
  at: string | null;
}

export interface Outcome {
  outcome: string | null;
  /** Earlier and current outcomes, newest first. */
  history: OutcomeEntry[];
}

export function parseOutcome(value: unknown): Outcome {
  const history = listOf(value, "history", (one): OutcomeEntry | undefined => {
    const entry = fields(one);
    const outcome = text(entry["outcome"]);
    return outcome === null
      ? undefined
      : { outcome, note: text(entry["note"]) || null, setBy: author(entry["set_by"]).name, at: text(entry["at"]) };
  });
  history.sort((a, b) => compareTimes(b.at, a.at));
  return { outcome: text(fields(value)["outcome"]), history };
}

export interface Note {
  id: string;
  text: string;
  author: Author;
  createdAt: string | null;
  updatedAt: string | null;
}

/** The author of a note or outcome, as far as known; unknown fields are "". */
export interface Author {
  id: string;
  name: string;
}

export function parseNote(value: unknown): Note | undefined {
  const note = fields(value);
  const id = text(note["id"]);
  if (id === null) return undefined;
  return {
    id,
    text: text(note["text"]) ?? "",
    author: author(note["author"]),
    createdAt: text(note["created_at"]),
    updatedAt: text(note["updated_at"]),
  };
}

/** Parses a person, who may be a name, an id, or an object with both. */
function author(value: unknown): Author {
  const person = fields(value);
  const word = text(value);
  if (word !== null) return /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(word) ? { id: word, name: "" } : { id: "", name: word };
  return { id: text(person["id"]) ?? "", name: text(person["name"]) ?? text(person["email"]) ?? "" };
}

/** Whether a note was written by this person, judged by id, else by name or email. */
export function isOwn(note: Note, person: { userId: string; name: string; email: string }): boolean {
  if (note.author.id !== "") return note.author.id === person.userId;
  return note.author.name !== "" && (note.author.name === person.email || note.author.name === person.name);
}
