/** The part of the server's REST API that a call's page uses. All functions reject with an `ApiError` when the server refuses. */
import * as api from "../api.js";
import { ApiError, request } from "../http.js";
import type { Recording } from "../recordings.js";
import { fields, listOf, text } from "../shapes.js";
import { type CallDetail, type Note, type Outcome, parseDetail, parseNote, parseOutcome } from "./detail.js";
import { type Line, parseSegment, withUnheard } from "./lines.js";

const path = (call: string, rest = ""): string => `/calls/${encodeURIComponent(call)}${rest}`;

/** Returns a call with everything the server sends about it. */
export async function detailShow(call: string): Promise<CallDetail> {
  const detail = parseDetail(await request("GET", path(call)), recordingUrl(call));
  if (!detail) throw new ApiError(0, "The server sent an invalid call.");
  return detail;
}

/** Returns the transcript, including the segments that have no text in it. */
export async function transcriptList(call: string): Promise<Line[]> {
  const [transcript, heard] = await Promise.all([request("GET", path(call, "/transcript")), request("GET", path(call, "/translations"))]);
  return withUnheard(listOf(transcript, "segments", parseSegment), listOf(heard, "translations", parseSegment));
}

export async function outcomeShow(call: string): Promise<Outcome> {
  return parseOutcome(await request("GET", path(call, "/outcome")));
}

export async function outcomePut(call: string, outcome: string, note: string): Promise<Outcome> {
  return parseOutcome(await request("PUT", path(call, "/outcome"), { outcome, ...(note ? { note } : {}) }));
}

export async function noteList(call: string): Promise<Note[]> {
  return listOf(await request("GET", path(call, "/notes")), "notes", parseNote);
}

export async function noteCreate(call: string, words: string): Promise<void> {
  await request("POST", path(call, "/notes"), { text: words });
}

export async function noteChange(call: string, note: string, words: string): Promise<void> {
  await request("PATCH", path(call, `/notes/${encodeURIComponent(note)}`), { text: words });
}

export async function noteRemove(call: string, note: string): Promise<void> {
  await request("DELETE", path(call, `/notes/${encodeURIComponent(note)}`));
}

/** Returns the address of the first file of a call's first recording. */
export function recordingUrl(call: string): string {
  return `/api${path(call, "/recording")}`;
}

/** Returns every recording that the user may hear; `undefined` if the server reports only the first one, in the call itself. */
export async function recordingList(call: string): Promise<Recording[] | undefined> {
  try {
    return await api.recordingList(call);
  } catch (error) {
    if (error instanceof ApiError && error.status !== 0 && error.status < 500) return undefined;
    throw error;
  }
}

/** Creates a link to the recording that needs no sign-in and expires. */
export async function recordingLink(call: string, number: number, part: number): Promise<{ url: string; expiresAt: string | null }> {
  const value = fields(
    await request("POST", `/recordings/${encodeURIComponent(call)}/signed-url`, {
      expires_in_s: 3600,
      part,
      ...(number === 1 ? {} : { number }),
    }),
  );
  return { url: new URL(text(value["url"]) ?? "", location.href).href, expiresAt: text(value["expires_at"]) };
}
