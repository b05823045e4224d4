/** Watches whether sound flows, by the levels and packet counts in the connection's own statistics. */
import { FlowWatch, meterPercent, smooth } from "../level.js";

/** Levels in percent, and whether packets arrive and leave. */
export interface Flow {
  levelIn: number;
  levelOut: number;
  arriving: boolean;
  leaving: boolean;
  /** Such as `opus, 12 ms round trip, 0 lost`. */
  detail: string;
}

const PERIOD_MS = 100;
const SILENT_MS = 4000;

/** Reads the statistics of `connection` ten times a second and calls `show`; the returned function stops that. */
export function watchFlow(connection: () => RTCPeerConnection | undefined, show: (flow: Flow) => void): () => void {
  const incoming = new FlowWatch(SILENT_MS);
  const outgoing = new FlowWatch(SILENT_MS);
  let [levelIn, levelOut] = [0, 0];
  let stopped = false;

  const read = async (): Promise<void> => {
    const current = connection();
    if (!current) return;
    const found = digest(await current.getStats());
    if (stopped) return;
    const now = performance.now();
    levelIn = smooth(levelIn, meterPercent(found.levelIn));
    levelOut = smooth(levelOut, meterPercent(found.levelOut));
    show({
      levelIn,
      levelOut,
      arriving: incoming.update(found.received, now),
      leaving: outgoing.update(found.sent, now),
      detail: found.detail,
    });
  };
  const timer = setInterval(() => void read().catch(() => undefined), PERIOD_MS);
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}

function digest(report: RTCStatsReport): { levelIn: number; levelOut: number; received: number; sent: number; detail: string } {
  const found = { levelIn: 0, levelOut: 0, received: 0, sent: 0, detail: "" };
  let [codec, roundTrip, lost] = ["", "", ""];
  for (const value of report.values()) {
    const stats = value as Record<string, unknown> & { type: string };
    const number = (name: string): number => (typeof stats[name] === "number" ? stats[name] : 0);
    if (stats.type === "inbound-rtp" && stats["kind"] === "audio") {
      found.levelIn = Math.max(found.levelIn, number("audioLevel"));
      found.received += number("packetsReceived");
      lost = `${number("packetsLost")} lost`;
      const entry = report.get(String(stats["codecId"])) as { mimeType?: string } | undefined;
      codec = entry?.mimeType?.replace(/^audio\//, "") ?? codec;
    } else if (stats.type === "media-source" && stats["kind"] === "audio") {
      found.levelOut = Math.max(found.levelOut, number("audioLevel"));
    } else if (stats.type === "outbound-rtp" && stats["kind"] === "audio") {
      found.sent += number("packetsSent");
    } else if (stats.type === "candidate-pair" && stats["nominated"] === true && "currentRoundTripTime" in stats) {
      roundTrip = `${Math.round(number("currentRoundTripTime") * 1000)} ms round trip`;
    }
  }
  found.detail = [codec, roundTrip, lost].filter(Boolean).join(", ");
  return found;
}
