/**
 * The recordings of a call: each has a number, one or more files (parts), a channel for each leg that took part, and the gaps that
 * somebody asked for.
 *
 *   fetched list ─┐
 *                 ├─▶ recordings ─▶ live page, agent's page, call page
 *   call.recording ┘
 *
 * Pure. A fetched list is the whole truth; events change single recordings, may come twice and in any order of parts.
 */
import { legName } from "./legs.js";
import { fields, listOf, number, text } from "./shapes.js";

/** One leg's sound in one file. */
export interface Channel {
  channel: number;
  leg: number;
  role: string;
  peer: string;
  from: string | null;
  until: string | null;
}

/** One file. */
export interface Part {
  part: number;
  state: string;
  note: string | null;
  durationMs: number;
  startedAt: string | null;
  endedAt: string | null;
  /** What a player plays: two channels at most. */
  url: string;
  /** The file as it was written, with all its channels. */
  originalUrl: string;
  channels: Channel[];
}

/** From when to when nothing was recorded because somebody paused; null: it goes on. */
export interface Gap {
  from: string;
  until: string | null;
}

export interface Recording {
  number: number;
  /** The one leg that is recorded; null: everybody. */
  leg: number | null;
  state: string;
  note: string | null;
  durationMs: number;
  startedAt: string | null;
  endedAt: string | null;
  gaps: Gap[];
  parts: Part[];
}

/** `path`: of the call's recordings, where a file's own address is not told. */
export function parseRecordings(value: unknown, path: string): Recording[] {
  return listOf(value, "recordings", (one) => parseRecording(one, path)).sort((a, b) => a.number - b.number);
}

function parseRecording(value: unknown, path: string): Recording | undefined {
  const told = fields(value);
  const [named, state] = [number(told["number"]), text(told["state"])];
  if (named === null || state === null) return undefined;
  return {
    number: named, leg: number(told["leg"]), state, note: text(told["note"]), durationMs: number(told["duration_ms"]) ?? 0,
    startedAt: text(told["started_at"]), endedAt: text(told["ended_at"]),
    gaps: listOf(told, "gaps", (gap) => {
      const from = text(fields(gap)["from"]);
      return from === null ? undefined : { from, until: text(fields(gap)["until"]) };
    }),
    parts: listOf(told, "parts", (part) => parsePart(part, named, path)),
  };
}

/** A file as a call's own record tells it, or a list of its recordings. */
export function parsePart(value: unknown, recording: number, path: string): Part | undefined {
  const told = fields(value);
  const state = text(told["state"]);
  if (state === null) return undefined;
  const part = number(told["part"]) ?? 1;
  const query = [recording === 1 ? "" : `number=${recording}`, part === 1 ? "" : `part=${part}`].filter(Boolean).join("&");
  const url = local(text(told["url"])) ?? (query === "" ? path : `${path}?${query}`);
  return {
    part, state, note: text(told["note"]), durationMs: number(told["duration_ms"]) ?? 0, startedAt: text(told["started_at"]), endedAt: text(told["ended_at"]),
    url, originalUrl: local(text(told["original_url"])) ?? url, channels: listOf(told, "channels", parseChannel),
  };
}

/** An address of this server. */
function local(url: string | null): string | undefined {
  return url !== null && /^\/api\//.test(url) ? url : undefined;
}

function parseChannel(value: unknown): Channel | undefined {
  const told = fields(value);
  const [channel, leg] = [number(told["channel"]), number(told["leg"])];
  if (channel === null || leg === null) return undefined;
  return { channel, leg, role: text(told["role"]) ?? "", peer: text(told["agent"]) ?? text(told["peer"]) ?? "", from: text(told["from"]), until: text(told["until"]) };
}

/** The one recording of a call that an older server tells of. */
export function singleRecording(parts: readonly Part[]): Recording[] {
  const [first, last] = [parts[0], parts.at(-1)];
  if (!first || !last) return [];
  return [{
    number: 1, leg: null, state: last.state, note: parts.find(({ note }) => note !== null)?.note ?? null, durationMs: parts.reduce((sum, { durationMs }) => sum + durationMs, 0),
    startedAt: first.startedAt, endedAt: last.endedAt, gaps: [], parts: [...parts],
  }];
}

export function isRecording({ state }: Pick<Recording, "state">): boolean {
  return state === "started" || state === "paused";
}

/** One `call.recording`; any other event gives the same list back. */
export function applyRecordingEvent(recordings: readonly Recording[], kind: string, data: unknown): readonly Recording[] {
  const event = fields(data);
  const state = text(event["state"]);
  if (kind !== "call.recording" || state === null) return recordings;
  const [named, at] = [number(event["number"]) ?? 1, text(event["at"])];
  const before = recordings.find((one) => one.number === named) ?? { number: named, leg: null, state: "", note: null, durationMs: 0, startedAt: at, endedAt: null, gaps: [], parts: [] };
  const after = state === "paused" || state === "resumed" ? paused(before, state === "paused", at) : changed(before, event, state);
  return [...recordings.filter((one) => one.number !== named), after].sort((a, b) => a.number - b.number);
}

function paused(recording: Recording, on: boolean, at: string | null): Recording {
  const open = recording.gaps.at(-1)?.until === null;
  const gaps = on
    ? open || at === null ? recording.gaps : [...recording.gaps, { from: at, until: null }]
    : recording.gaps.map((gap) => (gap.until === null ? { ...gap, until: at } : gap));
  return { ...recording, state: on ? "paused" : "started", gaps };
}

/** A file began or ended. A recording goes on while one of its files does. */
function changed(recording: Recording, event: Record<string, unknown>, state: string): Recording {
  const told = parsePart(event, recording.number, "") as Part;
  const known = recording.parts.find(({ part }) => part === told.part);
  // A file that has ended does not begin again.
  const part = known && known.state !== "started" && state === "started" ? known : { ...told, startedAt: known?.startedAt ?? (state === "started" ? text(event["at"]) : null) };
  const parts = [...recording.parts.filter((one) => one.part !== part.part), part].sort((a, b) => a.part - b.part);
  const runs = parts.some((one) => one.state === "started");
  const endedAt = runs ? null : text(event["at"]);
  return { ...recording, parts, state: runs ? (recording.state === "paused" ? "paused" : "started") : (parts.at(-1)?.state ?? state), note: told.note ?? recording.note, endedAt };
}

/** Whom a recording takes, and which it is among several. */
export function recordingName(recording: Pick<Recording, "number" | "leg" | "parts">, among: number): string {
  const title = among > 1 ? `Recording ${recording.number}` : "Recording";
  if (recording.leg === null) return title;
  const alone = recording.parts.flatMap(({ channels }) => channels).find(({ leg }) => leg === recording.leg);
  return `${title}: ${alone ? legName(alone) : "one party"} only`;
}

/** Of a running call: `Recording`, `Recording paused`, or nothing. */
export function recordingNow(recordings: readonly Recording[]): "started" | "paused" | undefined {
  const running = recordings.filter(isRecording);
  if (running.length === 0) return undefined;
  return running.some(({ state }) => state === "started") ? "started" : "paused";
}
