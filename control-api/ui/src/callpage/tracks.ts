/**
 * The legs of a call over time: when each rang, talked, was on hold or muted, what a supervisor did, and how it ended.
 *
 *   legs (fetched) + call.leg and call.seat events ─▶ tracks ─▶ tracksview
 *
 * Pure. Times are milliseconds since the start of the call; spans that have not ended end at `until`.
 */
import { endingText, type Legs, legName, NO_SEAT, parseSeat, type Seat, seatText } from "../legs.js";
import { isRecording, type Recording, recordingName } from "../recordings.js";
import { number } from "../shapes.js";
import { duration } from "../words.js";
import type { CallEventRecord, LegTimes } from "./detail.js";

export type SpanKind = "ring" | "talk" | "held" | "holds" | "muted" | "listen" | "whisper" | "barge" | "recorded" | "gap";

/** A period in a lane. */
export interface Span {
  kind: SpanKind;
  from: number;
  to: number;
  /** Whether the span has not ended yet. */
  open: boolean;
}

/** One lane: a leg or a recording. */
export interface Track {
  leg: number;
  role: string;
  name: string;
  spans: Span[];
  /** The time span in words. */
  when: string;
  /** Hold, mute and supervision during that time, in words. */
  between: string[];
  ending: string;
  ended: boolean;
}

export interface Tracks {
  /** Time at the right edge. */
  until: number;
  tracks: Track[];
}

/** Returns a track for each leg. `began`: start of the call; `until`: its end, or now. */
export function legTracks(
  times: readonly LegTimes[],
  events: readonly CallEventRecord[],
  legs: Legs,
  began: string,
  until: string | number,
): Tracks {
  const zero = Date.parse(began);
  const after = (time: string | number | null): number | null => {
    const at = typeof time === "number" ? time : Date.parse(time ?? "");
    return Number.isNaN(at) || Number.isNaN(zero) ? null : Math.max(0, at - zero);
  };
  const edge = Math.max(1, after(until) ?? 1, ...times.map(({ endedAt }) => after(endedAt) ?? 0));
  return {
    until: edge,
    tracks: times.map((leg) => {
      const [made, answered, over] = [after(leg.createdAt) ?? 0, after(leg.answeredAt), after(leg.endedAt)];
      const end = over ?? edge;
      const open = over === null;
      const spans: Span[] = [];
      if (made < (answered ?? end)) spans.push({ kind: "ring", from: made, to: answered ?? end, open: answered === null && open });
      if (answered !== null) spans.push({ kind: "talk", from: answered, to: end, open });
      const seats = events
        .filter(({ type, body }) => type === "call.seat" && number(body["leg"]) === leg.leg)
        .map(({ at, body }) => ({ at: after(at) ?? 0, seat: parseSeat(body) }));
      const between = answered === null ? [] : seatSpans(seats, answered, end, open);
      spans.push(...between);
      return {
        leg: leg.leg,
        role: leg.role,
        name: legName(leg),
        spans,
        when: when(made, answered, over, edge),
        between: between.map((span) => `${spanName(span, seats, legs)} ${clock(span)}`),
        ending: open ? "" : endingText(leg.ending, answered !== null),
        ended: !open,
      };
    }),
  };
}

/** Returns a track for each recording, with its gaps. Their `leg` is the negative number of the recording. */
export function recordingTracks(recordings: readonly Recording[], began: string, until: string | number): Track[] {
  const zero = Date.parse(began);
  const edge = (typeof until === "number" ? until : Date.parse(until)) - zero;
  const after = (time: string | null): number => {
    const at = Date.parse(time ?? "") - zero;
    return Number.isNaN(at) ? Math.max(0, edge) : Math.max(0, at);
  };
  return recordings
    .filter(({ startedAt }) => startedAt !== null)
    .map((recording) => {
      const [from, to, open] = [after(recording.startedAt), after(recording.endedAt), isRecording(recording)];
      const gaps = recording.gaps.map((gap) => ({
        kind: "gap" as const,
        from: after(gap.from),
        to: Math.min(to, after(gap.until)),
        open: gap.until === null && open,
      }));
      return {
        leg: -recording.number,
        role: "recording",
        name: recordingName(recording, recordings.length),
        spans: [{ kind: "recorded", from, to, open }, ...gaps],
        when: open ? `Recorded since ${duration(from)}` : `Recorded ${duration(from)} to ${duration(to)}`,
        between: gaps.map((gap) => `Paused ${clock(gap)}`),
        ending: recording.state === "interrupted" ? ["Interrupted", recording.note].filter(Boolean).join(": ") : "",
        ended: !open,
      };
    });
}

interface Seated {
  at: number;
  seat: Seat;
}

function seatSpans(seats: readonly Seated[], from: number, end: number, open: boolean): Span[] {
  const spans: Span[] = [];
  const running = new Map<SpanKind, number>();
  const close = (kind: SpanKind, to: number, goesOn: boolean): void => {
    const since = running.get(kind);
    running.delete(kind);
    if (since !== undefined && to > since) spans.push({ kind, from: since, to, open: goesOn });
  };
  for (const { at, seat } of [...seats].sort((a, b) => a.at - b.at)) {
    const now = kindsOf(seat);
    const time = Math.min(Math.max(at, from), end);
    for (const kind of [...running.keys()]) if (!now.includes(kind)) close(kind, time, false);
    for (const kind of now) if (!running.has(kind)) running.set(kind, time);
  }
  for (const kind of [...running.keys()]) close(kind, end, open);
  return spans.sort((a, b) => a.from - b.from);
}

function kindsOf({ held, muted, holds, supervises }: Seat): SpanKind[] {
  return [
    ...(held ? ["held" as const] : []),
    ...(holds ? ["holds" as const] : []),
    ...(muted ? ["muted" as const] : []),
    ...(supervises ? [supervises.mode] : []),
  ];
}

function spanName({ kind, from }: Span, seats: readonly Seated[], legs: Legs): string {
  const told =
    seats.filter(({ at, seat }) => at <= from && kindsOf(seat).includes(kind)).at(-1) ??
    seats.find(({ seat }) => kindsOf(seat).includes(kind));
  const supervises = kind === "held" || kind === "holds" || kind === "muted" ? null : (told?.seat.supervises ?? null);
  const only = { ...NO_SEAT, held: kind === "held", holds: kind === "holds", muted: kind === "muted", supervises };
  return seatText(only, legs);
}

const clock = ({ from, to, open }: Pick<Span, "from" | "to" | "open">): string =>
  open ? `since ${duration(from)}` : `${duration(from)} to ${duration(to)}`;

function when(made: number, answered: number | null, over: number | null, edge: number): string {
  if (answered === null)
    return over === null ? `Ringing since ${duration(made)}` : `Rang ${duration(made)} to ${duration(over)}, never answered`;
  return over === null
    ? `In the call since ${duration(answered)}, ${duration(edge - answered)} so far`
    : `In the call ${duration(answered)} to ${duration(over)}, ${duration(over - answered)}`;
}
