/** Microphone and speaker: permission, choice of device, and the microphone's state. */
import { type MicrophoneState, microphoneError, stopTracks } from "../microphone.js";
import { read, write } from "../storage.js";

const CHOICE = { microphone: "tandem.microphone", speaker: "tandem.speaker" };

export class Sound {
  state: MicrophoneState = "unknown";
  microphones: MediaDeviceInfo[] = [];
  speakers: MediaDeviceInfo[] = [];
  private readonly outputs: HTMLMediaElement[] = [];

  constructor(private readonly onChange: () => void) {}

  async start(): Promise<void> {
    // The type says that it always exists; over plain http it does not.
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    if (!devices) return this.become("insecure");
    devices.addEventListener("devicechange", () => void this.list());
    try {
      const permission = await navigator.permissions.query({ name: "microphone" as PermissionName });
      const follow = (): void => {
        this.become(permission.state === "prompt" ? "prompt" : permission.state);
        void this.list();
      };
      permission.addEventListener("change", follow);
      follow();
    } catch {
      // Firefox before 131 does not report this permission: assume that it will ask.
      this.become("prompt");
    }
    await this.list();
  }

  get microphone(): string {
    return read(CHOICE.microphone);
  }

  get speaker(): string {
    return read(CHOICE.speaker);
  }

  /** Returns the microphone's stream; `undefined` if it cannot be opened, with the reason in `state`. */
  async open(): Promise<MediaStream | undefined> {
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    if (!devices) {
      this.become("insecure");
      return undefined;
    }
    const audio: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    try {
      const wanted = this.microphone;
      const stream = await devices
        .getUserMedia({ audio: wanted ? { ...audio, deviceId: { exact: wanted } } : audio })
        .catch((error: unknown) => {
          // The chosen microphone was unplugged: use any other.
          if (wanted && errorName(error) === "OverconstrainedError") return devices.getUserMedia({ audio });
          throw error;
        });
      this.become("granted");
      void this.list();
      return stream;
    } catch (error) {
      this.become(microphoneError(errorName(error)));
      return undefined;
    }
  }

  /** Asks for permission and releases the microphone at once. */
  async ask(): Promise<void> {
    const stream = await this.open();
    stopTracks(stream);
  }

  chooseMicrophone(id: string): void {
    write(CHOICE.microphone, id);
    this.onChange();
  }

  chooseSpeaker(id: string): void {
    write(CHOICE.speaker, id);
    for (const output of this.outputs) void this.route(output);
    this.onChange();
  }

  /** Routes `output` to the chosen speaker, now and after each change. */
  attach(output: HTMLMediaElement): void {
    this.outputs.push(output);
    void this.route(output);
  }

  private async route(output: HTMLMediaElement): Promise<void> {
    if (!("setSinkId" in output)) return;
    await output.setSinkId(this.speaker).catch(() => output.setSinkId("").catch(() => undefined));
  }

  private async list(): Promise<void> {
    try {
      const all = await navigator.mediaDevices.enumerateDevices();
      this.microphones = all.filter((device) => device.kind === "audioinput");
      this.speakers = all.filter((device) => device.kind === "audiooutput");
      if (this.microphones.length === 0 && this.state !== "denied") this.become("absent");
      else if (this.microphones.length > 0 && this.state === "absent") this.become("prompt");
    } catch {
      this.microphones = [];
    }
    this.onChange();
  }

  private become(state: MicrophoneState): void {
    this.state = state;
    this.onChange();
  }
}

function errorName(error: unknown): string {
  return error instanceof Error ? error.name : "";
}
