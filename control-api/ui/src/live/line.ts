/**
 * The supervisor's phone: the agent's SIP phone, registered only while a call is supervised. It answers only the INVITE that this page
 * has requested and refuses all others, so that no customer reaches a page at which nobody talks.
 *
 * Invariant: a listener sends silence; the microphone is opened only when the supervisor is to be heard.
 */
import { Phone, type Line as PhoneLine, type Registration } from "../agent/phone.js";
import { Sound } from "../agent/sound.js";
import { h } from "../dom.js";
import { microphoneText, stopTracks } from "../microphone.js";
import type { Line } from "./supervisor.js";

/** Header of the INVITE to a supervisor; its value is the id of the supervised call. */
const SUPERVISES = "Tandem-Supervises";
/** Maximum time until the phone is registered. */
const OPEN_MS = 10_000;
/** Maximum time until a call that the server has accepted rings here. */
const RING_MS = 10_000;
/** Time for which the phone stays registered after a call, for the next one. */
const REST_MS = 15_000;

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class SupervisorLine implements Line {
  /** What the supervisor hears. */
  readonly audio = h("audio", { id: "supervision-sound", autoplay: true });
  private readonly sound = new Sound(() => undefined);
  private phone: Phone | undefined;
  private readonly registered: Waiter[] = [];
  private isRegistered = false;
  private voice: MediaStream | undefined;
  private expected = "";
  private joined: Waiter | undefined;
  private phase: PhoneLine["phase"] = "idle";
  private rest: ReturnType<typeof setTimeout> | undefined;
  private silent: AudioContext | undefined;

  /** `onEnded`: called when the call has ended and this page did not end it. */
  constructor(private readonly onEnded: () => void) {
    this.sound.attach(this.audio);
    window.addEventListener("pagehide", () => this.close());
  }

  async open(): Promise<void> {
    clearTimeout(this.rest);
    if (this.isRegistered) return;
    const ready = within(OPEN_MS, "Your browser's phone could not be registered. Try again.", (waiter) => this.registered.push(waiter));
    if (!this.phone) {
      this.phone = new Phone(
        {
          onRegistration: (state, text) => this.registration(state, text),
          onLine: (line) => this.follow(line),
          onEnded: () => undefined,
          onRinging: () => undefined,
          accepts: (header) => this.expected !== "" && header(SUPERVISES) === this.expected,
          onTakeBack: () => Promise.resolve(undefined),
        },
        this.audio,
        // Closing the page leaves the call, so nothing is stored to take it back.
        { getItem: () => null, setItem: () => undefined, removeItem: () => undefined },
      );
      await this.phone.start();
    }
    await ready;
  }

  async speak(on: boolean): Promise<void> {
    const voice = on ? await this.sound.open() : this.silence();
    if (!voice) throw new Error(microphoneText(this.sound.state) || "There is no microphone.");
    if (this.phase === "active" && this.phone) return this.phone.replaceMicrophone(voice);
    stopTracks(this.voice);
    this.voice = voice;
  }

  join(call: string): Promise<void> {
    this.expected = call;
    return within(RING_MS, "The call did not reach your browser's phone. Try again.", (waiter) => (this.joined = waiter));
  }

  hangUp(): void {
    this.expected = "";
    this.joined = undefined;
    if (this.phase !== "idle") this.phone?.hangup();
    stopTracks(this.voice);
    this.voice = undefined;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.close(), REST_MS);
  }

  private close(): void {
    if (this.phase !== "idle") this.phone?.hangup();
    this.phone?.stop();
    this.phone = undefined;
    this.isRegistered = false;
  }

  private registration(state: Registration, text: string): void {
    this.isRegistered = state === "registered";
    if (state === "connecting") return;
    const waiting = this.registered.splice(0);
    for (const waiter of waiting)
      if (this.isRegistered) waiter.resolve();
      else waiter.reject(new Error(`Your browser's phone is not ready: ${text}`));
  }

  private follow(line: PhoneLine): void {
    const before = this.phase;
    this.phase = line.phase;
    if (line.phase === "incoming" && before !== "incoming") this.phone?.answer(this.voice ?? this.silence());
    if (line.phase === "active" && before !== "active") {
      this.voice = undefined;
      this.joined?.resolve();
      this.joined = undefined;
    }
    if (line.phase === "idle" && before !== "idle") {
      this.expected = "";
      this.joined?.reject(new Error("The call has ended."));
      this.joined = undefined;
      if (before === "active") this.onEnded();
      clearTimeout(this.rest);
      this.rest = setTimeout(() => this.close(), REST_MS);
    }
  }

  /** Returns a stream with a silent track, because a call needs one. */
  private silence(): MediaStream {
    this.silent ??= new AudioContext();
    void this.silent.resume().catch(() => undefined);
    return this.silent.createMediaStreamDestination().stream;
  }
}

function within(milliseconds: number, late: string, wait: (waiter: Waiter) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(late)), milliseconds);
    wait({
      resolve: () => {
        clearTimeout(timer);
        resolve();
      },
      reject: (error) => {
        clearTimeout(timer);
        reject(error);
      },
    });
  });
}
