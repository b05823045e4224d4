/**
 * The ringtone, which must be heard in a background tab too: a looped audio element, which browsers do not throttle as they throttle
 * timers. The wave is generated here; nothing is downloaded.
 */

const RATE = 8000;

/** Returns a WAV file with the tones for `on` seconds, then silence up to `period` seconds in total. */
function cadence(tones: readonly number[], on: number, period: number, volume: number): Blob {
  const samples = Math.round(RATE * period);
  const view = new DataView(new ArrayBuffer(44 + samples * 2));
  const text = (at: number, value: string): void => {
    for (let index = 0; index < value.length; index += 1) view.setUint8(at + index, value.charCodeAt(index));
  };
  text(0, "RIFF");
  view.setUint32(4, 36 + samples * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples * 2, true);
  for (let index = 0; index < RATE * on; index += 1) {
    const time = index / RATE;
    const edge = Math.min(1, time / 0.02, (on - time) / 0.02);
    const wave = tones.reduce((sum, hertz) => sum + Math.sin(2 * Math.PI * hertz * time), 0) / tones.length;
    view.setInt16(44 + index * 2, Math.round(wave * edge * volume * 32767), true);
  }
  return new Blob([view], { type: "audio/wav" });
}

class Loop {
  readonly element: HTMLAudioElement;

  constructor(id: string, sound: Blob) {
    this.element = new Audio(URL.createObjectURL(sound));
    this.element.id = id;
    this.element.loop = true;
  }

  /** Starts from the beginning; resolves to whether the browser allows the sound. */
  async start(): Promise<boolean> {
    try {
      this.element.currentTime = 0;
      await this.element.play();
      return true;
    } catch {
      return false;
    }
  }

  stop(): void {
    this.element.pause();
  }
}

/** Returns the ringtone for an incoming call. */
export function ring(): Loop {
  return new Loop("ring", cadence([523.25, 659.25], 1.2, 3, 0.5));
}

/** Returns the ringback tone for the caller while the other side rings. */
export function ringback(): Loop {
  return new Loop("ringback", cadence([425], 1, 4, 0.15));
}
