/** Sound levels for meters, and detection of stopped audio. */

/** Converts a linear amplitude of 0 to 1 (as in WebRTC statistics) to percent of a scale from -60 dBFS to 0 dBFS. */
export function meterPercent(amplitude: number): number {
  if (!(amplitude > 0)) return 0;
  const decibel = 20 * Math.log10(Math.min(1, amplitude));
  return Math.max(0, Math.min(100, Math.round(((decibel + 60) / 60) * 100)));
}

/** Returns the next level to show: it rises at once and falls by at most 8, so that the eye can follow. */
export function smooth(shown: number, measured: number): number {
  return measured >= shown ? measured : Math.max(measured, shown - 8);
}

/** Detects that audio has stopped: no new packet for `limitMs`. */
export class FlowWatch {
  private packets = -1;
  private since = 0;

  constructor(private readonly limitMs: number) {}

  /** Returns whether packets flow; `true` also while it is too early to say. */
  update(packets: number, now: number): boolean {
    if (packets !== this.packets) {
      this.packets = packets;
      this.since = now;
    }
    return now - this.since < this.limitMs;
  }
}
