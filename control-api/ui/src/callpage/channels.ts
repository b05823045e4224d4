/**
 * The channels of a recording's file over its length: a lane for each channel while its leg was present, and the gaps across all lanes.
 *
 * Pure. Times are milliseconds since the first sample and thus positions in the file: a pause is silence of its real length.
 */
import { legName } from "../legs.js";
import type { Gap, Part } from "../recordings.js";
import { duration } from "../words.js";

export interface Lane {
  channel: number;
  leg: number;
  role: string;
  /** The party; "hears" is added to a lane with what it hears. */
  name: string;
  from: number;
  to: number;
  /** The time span in words. */
  words: string;
}

export interface Lanes {
  lengthMs: number;
  lanes: Lane[];
  gaps: { from: number; to: number; words: string }[];
}

/** Returns the lanes and gaps of a file. `now`: the end of a file that is still being written. */
export function channelLanes(part: Part, gaps: readonly Gap[], now: number): Lanes {
  const zero = Date.parse(part.startedAt ?? "");
  const lengthMs = Math.max(
    1,
    part.durationMs > 0 ? part.durationMs : (part.endedAt === null ? now : Date.parse(part.endedAt)) - zero || 1,
  );
  const place = (time: string | null, otherwise: number): number => {
    const at = Date.parse(time ?? "") - zero;
    return Number.isNaN(at) ? otherwise : Math.min(lengthMs, Math.max(0, at));
  };
  return {
    lengthMs,
    lanes: [...part.channels]
      .sort((a, b) => a.channel - b.channel || place(a.from, 0) - place(b.from, 0))
      .map(({ channel, leg, heard, role, peer, from, until }) => {
        const [begin, end] = [place(from, 0), place(until, lengthMs)];
        const open = until === null && part.state === "started";
        return {
          channel,
          leg,
          role,
          name: heard ? `${legName({ role, peer })} hears` : legName({ role, peer }),
          from: begin,
          to: end,
          words: open ? `since ${duration(begin)}` : `${duration(begin)} to ${duration(end)}`,
        };
      }),
    gaps: gaps.flatMap((gap) => {
      const [from, to] = [place(gap.from, 0), place(gap.until, lengthMs)];
      if (to <= from) return [];
      return [{ from, to, words: gap.until === null ? `Paused since ${duration(from)}` : `Paused ${duration(from)} to ${duration(to)}` }];
    }),
  };
}
