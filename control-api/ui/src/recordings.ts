/**
 * The recordings of a call: each has a number, one or more files (parts), a channel for each leg that took part, and the gaps where it
 * was paused.
 *
 *   fetched list ─┐
 *                 ├─▶ recordings ─▶ live page, agent's page, call page
 *   call.recording ┘
 *
 * Pure. A fetched list is complete. Events change single recordings; they may arrive twice, and those of different parts in any order.
 */
import { legName } from "./legs.js";
import { fields, listOf, number, text } from "./shapes.js";

/** One side of one leg in one file. */
export interface Channel {
  channel: number;
  leg: number;
  /** Whether it holds what the leg hears, rather than what it says. */
  heard: boolean;
  role: string;
  peer: string;
  from: string | null;
  until: string | null;
}

/** One file of a recording. */
export interface Part {
  part: number;
  state: string;
  note: string | null;
  durationMs: number;
  startedAt: string | null;
  endedAt: string | null;
  /** Address of the file to play, with two channels at most. */
  url: string;
  /** Address of the original file, with all channels. */
  originalUrl: string;
  channels: Channel[];
}

/** A pause, during which nothing was recorded; `until` is null while it lasts. */
export interface Gap {
  from: string;
  until: string | null;
}

/** A recording, as the API sends it. */
export interface Recording {
  number: number;
  /** The only recorded leg; null if everybody is recorded. */
  leg: number | null;
  state: string;
  note: string | null;
  durationMs: number;
  startedAt: string | null;
  endedAt: string | null;
  gaps: Gap[];
  parts: Part[];
}

/** Parses a list of recordings, in order of their numbers. `path`: address of the call's recordings, for files without their own. */
export function parseRecordings(value: unknown, path: string): Recording[] {
  return listOf(value, "recordings", (one) => parseRecording(one, path)).sort((a, b) => a.number - b.number);
}

function parseRecording(value: unknown, path: string): Recording | undefined {
  const told = fields(value);
  const [named, state] = [number(told["number"]), text(told["state"])];
  if (named === null || state === null) return undefined;
  return {
    number: named,
    leg: number(told["leg"]),
    state,
    note: text(told["note"]),
    durationMs: number(told["duration_ms"]) ?? 0,
    startedAt: text(told["started_at"]),
    endedAt: text(told["ended_at"]),
    gaps: listOf(told, "gaps", (gap) => {
      const from = text(fields(gap)["from"]);
      return from === null ? undefined : { from, until: text(fields(gap)["until"]) };
    }),
    parts: listOf(told, "parts", (part) => parsePart(part, named, path)),
  };
}

/** Parses a file from a call or from a list of recordings; `undefined` if it is malformed. */
export function parsePart(value: unknown, recording: number, path: string): Part | undefined {
  const told = fields(value);
  const state = text(told["state"]);
  if (state === null) return undefined;
  const part = number(told["part"]) ?? 1;
  const query = [recording === 1 ? "" : `number=${recording}`, part === 1 ? "" : `part=${part}`].filter(Boolean).join("&");
  const url = local(text(told["url"])) ?? (query === "" ? path : `${path}?${query}`);
  return {
    part,
    state,
    note: text(told["note"]),
    durationMs: number(told["duration_ms"]) ?? 0,
    startedAt: text(told["started_at"]),
    endedAt: text(told["ended_at"]),
    url,
    originalUrl: local(text(told["original_url"])) ?? url,
    channels: listOf(told, "channels", parseChannel),
  };
}

/** Returns the address if it is one of this server's. */
function local(url: string | null): string | undefined {
  return url !== null && /^\/api\//.test(url) ? url : undefined;
}

function parseChannel(value: unknown): Channel | undefined {
  const told = fields(value);
  const [channel, leg] = [number(told["channel"]), number(told["leg"])];
  if (channel === null || leg === null) return undefined;
  return {
    channel,
    leg,
    heard: told["heard"] === true,
    role: text(told["role"]) ?? "",
    peer: text(told["agent"]) ?? text(told["peer"]) ?? "",
    from: text(told["from"]),
    until: text(told["until"]),
  };
}

/** Returns the recording with these files, for older servers that report only the files of one recording. */
export function singleRecording(parts: readonly Part[]): Recording[] {
  const [first, last] = [parts[0], parts.at(-1)];
  if (!first || !last) return [];
  return [
    {
      number: 1,
      leg: null,
      state: last.state,
      note: parts.find(({ note }) => note !== null)?.note ?? null,
      durationMs: parts.reduce((sum, { durationMs }) => sum + durationMs, 0),
      startedAt: first.startedAt,
      endedAt: last.endedAt,
      gaps: [],
      parts: [...parts],
    },
  ];
}

/** Whether a recording runs or is paused. */
export function isRecording({ state }: Pick<Recording, "state">): boolean {
  return state === "started" || state === "paused";
}

/** Returns the recordings after one event; events other than `call.recording` change nothing. */
export function applyRecordingEvent(recordings: readonly Recording[], kind: string, data: unknown): readonly Recording[] {
  const event = fields(data);
  const state = text(event["state"]);
  if (kind !== "call.recording" || state === null) return recordings;
  const [named, at] = [number(event["number"]) ?? 1, text(event["at"])];
  const before = recordings.find((one) => one.number === named) ?? {
    number: named,
    leg: null,
    state: "",
    note: null,
    durationMs: 0,
    startedAt: at,
    endedAt: null,
    gaps: [],
    parts: [],
  };
  const after = state === "paused" || state === "resumed" ? withPause(before, state === "paused", at) : withFile(before, event, state);
  return [...recordings.filter((one) => one.number !== named), after].sort((a, b) => a.number - b.number);
}

function withPause(recording: Recording, on: boolean, at: string | null): Recording {
  const open = recording.gaps.at(-1)?.until === null;
  const gaps = on
    ? open || at === null
      ? recording.gaps
      : [...recording.gaps, { from: at, until: null }]
    : recording.gaps.map((gap) => (gap.until === null ? { ...gap, until: at } : gap));
  return { ...recording, state: on ? "paused" : "started", gaps };
}

/** Returns the recording after a file has started or ended. It runs while one of its files does. */
function withFile(recording: Recording, event: Record<string, unknown>, state: string): Recording {
  const told = parsePart(event, recording.number, "") as Part;
  const known = recording.parts.find(({ part }) => part === told.part);
  // A file that has ended does not start again.
  const part =
    known && known.state !== "started" && state === "started"
      ? known
      : { ...told, startedAt: known?.startedAt ?? (state === "started" ? text(event["at"]) : null) };
  const parts = [...recording.parts.filter((one) => one.part !== part.part), part].sort((a, b) => a.part - b.part);
  const runs = parts.some((one) => one.state === "started");
  const endedAt = runs ? null : text(event["at"]);
  return {
    ...recording,
    parts,
    state: runs ? (recording.state === "paused" ? "paused" : "started") : (parts.at(-1)?.state ?? state),
    note: told.note ?? recording.note,
    endedAt,
  };
}

/** Returns the name of a recording: its number if there are several (`among`), and the party if only one is recorded. */
export function recordingName(recording: Pick<Recording, "number" | "leg" | "parts">, among: number): string {
  const title = among > 1 ? `Recording ${recording.number}` : "Recording";
  if (recording.leg === null) return title;
  const alone = recording.parts.flatMap(({ channels }) => channels).find(({ leg }) => leg === recording.leg);
  return `${title}: ${alone ? legName(alone) : "one party"} only`;
}

/** Returns whether a running call is being recorded, or all its recordings are paused; `undefined` if none runs. */
export function recordingNow(recordings: readonly Recording[]): "started" | "paused" | undefined {
  const running = recordings.filter(isRecording);
  if (running.length === 0) return undefined;
  return running.some(({ state }) => state === "started") ? "started" : "paused";
}
