/** Sound levels as a meter shows them. */

/** Linear amplitude 0 to 1 (as in WebRTC statistics) to per cent of a scale from -60 dBFS to 0 dBFS. */
export function meterPercent(amplitude: number): number {
  if (!(amplitude > 0)) return 0;
  const decibel = 20 * Math.log10(Math.min(1, amplitude));
  return Math.max(0, Math.min(100, Math.round(((decibel + 60) / 60) * 100)));
}

/** Falls slower than it rises, so that the eye can follow. */
export function smooth(shown: number, measured: number): number {
  return measured >= shown ? measured : Math.max(measured, shown - 8);
}

/** Whether audio has stopped coming: no new packet for `limitMs`. */
export class FlowWatch {
  private packets = -1;
  private since = 0;

  constructor(private readonly limitMs: number) {}

  /** `true`: packets flow (or it is too early to say). */
  update(packets: number, now: number): boolean {
    if (packets !== this.packets) {
      this.packets = packets;
      this.since = now;
    }
    return now - this.since < this.limitMs;
  }
}
