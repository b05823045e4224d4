/**
 * The recordings of a running call, with buttons to start, pause, resume and stop them.
 *
 *   click ─▶ shown at once ─▶ request ─┬─ done ─▶ the list is fetched again
 *                                      └─ refused ─▶ previous state and the reason
 */
import * as api from "./api.js";
import { arrange, h, ICON, icon, setText } from "./dom.js";
import { isRecording, type Recording, recordingName } from "./recordings.js";

export type RecordingAct = "pause" | "resume" | "stop";

const STATE: Record<RecordingAct, string> = { pause: "paused", resume: "started", stop: "finished" };

export interface RecordingBarOptions {
  /** Whether the user may start and stop recordings. */
  allowed: boolean;
  /** Fetches the list of recordings, after the server has carried out an action. */
  refresh(call: string): Promise<void>;
}

export interface RecordingShown {
  call: string;
  recordings: readonly Recording[];
  /** Whether the call has been answered and has not ended. */
  talks: boolean;
}

export class RecordingBar {
  readonly element = h("div", {
    class: "recording-bar",
    "data-role": "recordings",
    role: "group",
    "aria-label": "Recording",
    hidden: true,
  });
  private readonly start: HTMLButtonElement;
  private readonly problem = h("p", { class: "problem", role: "alert", "data-role": "recording-problem" });
  private readonly rows = new Map<number, Row>();
  /** States that were requested and are not confirmed yet, by number of the recording. */
  private readonly wishes = new Map<number, string>();
  private starting = false;
  private shown: RecordingShown = { call: "", recordings: [], talks: false };

  constructor(private readonly options: RecordingBarOptions) {
    this.start = h(
      "button",
      { class: "plain", type: "button", "data-role": "record-start", onclick: () => void this.begin() },
      icon(ICON.record),
      h("span", {}, "Record"),
    );
  }

  draw(shown: RecordingShown): void {
    if (shown.call !== this.shown.call) {
      this.wishes.clear();
      this.rows.clear();
      this.starting = false;
      setText(this.problem, "");
    }
    this.shown = shown;
    this.redraw();
  }

  /** Pauses or resumes the first running recording, or starts one if there is none. */
  toggle(): void {
    if (!this.options.allowed || !this.shown.talks) return;
    const [first] = this.running();
    if (first) void this.act(first.number, first.state === "paused" ? "resume" : "pause");
    else void this.begin();
  }

  /** Returns the running recordings with the requested states applied; those of everybody come first. */
  private running(): Recording[] {
    return this.shown.recordings
      .map((one) => ({ ...one, state: this.wishes.get(one.number) ?? one.state }))
      .filter(isRecording)
      .sort((a, b) => Number(a.leg !== null) - Number(b.leg !== null) || a.number - b.number);
  }

  private redraw(): void {
    const { talks, recordings } = this.shown;
    const running = talks ? this.running() : [];
    const several = recordings.length;
    const rows = running.map((one) => {
      let row = this.rows.get(one.number);
      if (!row) {
        row = new Row(one.number, (act) => void this.act(one.number, act));
        this.rows.set(one.number, row);
      }
      row.draw(one, several, this.options.allowed);
      return row.element;
    });
    const startable = talks && this.options.allowed && !running.some(({ leg }) => leg === null);
    setText(this.start.querySelector("span") ?? this.start, this.starting ? "Starting …" : several > 0 ? "Record again" : "Record");
    this.start.disabled = this.starting;
    this.element.hidden = rows.length === 0 && !startable && this.problem.textContent === "";
    arrange(this.element, [...rows, ...(startable ? [this.start] : []), this.problem]);
  }

  private async begin(): Promise<void> {
    if (this.starting) return;
    this.starting = true;
    await this.send(() => api.recordingStart(this.shown.call));
    this.starting = false;
    this.redraw();
  }

  private async act(number: number, act: RecordingAct): Promise<void> {
    const wish = STATE[act];
    this.wishes.set(number, wish);
    await this.send(() => api.recordingAct(this.shown.call, number, act));
    if (this.wishes.get(number) === wish) this.wishes.delete(number);
    this.redraw();
  }

  private async send(work: () => Promise<void>): Promise<void> {
    const { call } = this.shown;
    setText(this.problem, "");
    this.redraw();
    try {
      await work();
      await this.options.refresh(call);
    } catch (error) {
      if (call === this.shown.call) setText(this.problem, error instanceof Error ? error.message : "The server did not carry this out.");
    }
  }
}

class Row {
  readonly element: HTMLElement;
  private readonly state = h("span", { class: "pill recording-state", role: "status" });
  private readonly pause: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private paused = false;

  constructor(number: number, onAct: (act: RecordingAct) => void) {
    this.pause = h("button", {
      class: "quiet",
      type: "button",
      "data-role": "record-pause",
      onclick: () => onAct(this.paused ? "resume" : "pause"),
    });
    this.stop = h(
      "button",
      { class: "quiet", type: "button", "data-role": "record-stop", onclick: () => onAct("stop") },
      icon(ICON.stop),
      "Stop",
    );
    this.element = h("div", { class: "recording-row", "data-recording": number }, this.state, this.pause, this.stop);
  }

  draw(recording: Recording, among: number, allowed: boolean): void {
    const paused = recording.state === "paused";
    const name = recordingName(recording, among);
    this.element.dataset["state"] = recording.state;
    this.state.dataset["tone"] = paused ? "warn" : "bad";
    setText(this.state, paused ? (name === "Recording" ? "Recording paused" : `${name}, paused`) : name);
    this.pause.hidden = this.stop.hidden = !allowed;
    if (this.pause.dataset["paused"] !== String(paused)) {
      this.pause.dataset["paused"] = String(paused);
      this.paused = paused;
      this.pause.replaceChildren(icon(paused ? ICON.play : ICON.pause), paused ? "Resume" : "Pause");
    }
    this.pause.setAttribute("aria-label", `${paused ? "Resume" : "Pause"}: ${name}`);
    this.stop.setAttribute("aria-label", `Stop: ${name}`);
  }
}
