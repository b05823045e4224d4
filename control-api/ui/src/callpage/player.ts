/**
 * The recording: the browser's own player, which asks for ranges as it needs them, and both channels or one of them.
 *
 *   audio ─▶ source ─▶ splitter ─┬─ customer (left)  ─▶ gain ─┐
 *                                └─ agent    (right) ─▶ gain ─┴─▶ both ears
 *
 * The graph is made when a single side is first wanted: until then the browser plays by itself.
 */
import { h, icon, ICON, setText } from "../dom.js";
import { copyLine } from "../form.js";
import { Dialog } from "../dialog.js";
import { dateTime, duration } from "../words.js";
import type { Recording } from "./detail.js";
import { recordingLink, recordingUrl } from "./requests.js";

type Side = "both" | "customer" | "agent";
const SIDES: readonly (readonly [Side, string])[] = [["both", "Both"], ["customer", "Customer"], ["agent", "Agent"]];
const SPEEDS = [1, 1.25, 1.5, 2];

export class Player {
  readonly element: HTMLElement;
  readonly audio: HTMLAudioElement;
  private readonly note = h("p", { class: "hint", role: "status" });
  private readonly problem = h("p", { id: "player-problem", class: "problem", role: "alert" });
  private readonly sides: HTMLButtonElement[];
  private readonly newest: HTMLButtonElement;
  private gains: { customer: GainNode; agent: GainNode; context: AudioContext } | undefined;
  private readonly download: HTMLAnchorElement;
  private readonly choice = h("select", { id: "recording-part", "aria-label": "Part of the recording", hidden: true });
  private parts: readonly Recording[] = [];
  private part = 1;
  private state = "";

  constructor(private readonly call: string) {
    // Nothing is fetched before somebody listens: the audit log tells who did.
    this.audio = h("audio", { id: "recording", controls: true, preload: "none", src: recordingUrl(call) });
    this.audio.addEventListener("error", () => this.fail());
    this.audio.addEventListener("loadedmetadata", () => setText(this.problem, ""));
    this.sides = SIDES.map(([side, label]) =>
      h("button", { class: "plain", type: "button", "data-side": side, "aria-pressed": String(side === "both"), onclick: () => this.listen(side) }, label));
    const speed = h("button", { id: "player-speed", class: "plain", type: "button", title: "Speed", "aria-label": "Speed: 1 times" }, "1×");
    speed.addEventListener("click", () => {
      const next = SPEEDS[(SPEEDS.indexOf(this.audio.playbackRate) + 1) % SPEEDS.length] ?? 1;
      this.audio.playbackRate = next;
      setText(speed, `${next}×`);
      speed.setAttribute("aria-label", `Speed: ${next} times`);
    });
    const skip = (seconds: number, label: string): HTMLElement =>
      h("button", { class: "plain", type: "button", "aria-label": label, title: label, onclick: () => this.seek(this.audio.currentTime + seconds, false) }, seconds < 0 ? `−${-seconds} s` : `+${seconds} s`);
    const link = h("button", { id: "recording-link", class: "quiet", type: "button", title: "A link that needs no sign-in", onclick: () => void this.shareLink(link) }, icon(ICON.link), h("span", {}, "Link"));
    this.download = h("a", { id: "recording-download", class: "button quiet", href: recordingUrl(call), download: `${call}.wav`, title: "Download the recording" }, icon(ICON.download), h("span", {}, "Download"));
    this.newest = h("button", { class: "quiet", type: "button", hidden: true, onclick: () => this.reload() }, "Load what was recorded since");
    this.choice.addEventListener("change", () => this.choose(Number(this.choice.value)));
    this.element = h("div", { class: "player" }, this.choice, this.audio, this.problem,
      h("div", { class: "player-tools" },
        h("div", { class: "segmented", role: "group", "aria-label": "Which side is heard" }, ...this.sides),
        h("div", { class: "segmented", role: "group", "aria-label": "Position and speed" }, skip(-10, "10 seconds back"), skip(10, "10 seconds on"), speed),
        h("span", { class: "grow" }), this.newest, link, this.download),
      this.note);
  }

  /** When the first sample of what is played was. */
  get startedAt(): string | null {
    return this.shown()?.startedAt ?? null;
  }

  draw(parts: readonly Recording[]): void {
    if (parts.length !== this.parts.length) {
      this.choice.replaceChildren(...parts.map(({ part }) => h("option", { value: String(part) }, `Part ${part} of ${parts.length}`)));
      this.choice.value = String(this.part);
      this.choice.hidden = parts.length < 2;
    }
    this.parts = parts;
    const recording = this.shown();
    if (!recording) return;
    // A recording that is complete now is longer than what was loaded while it ran.
    if (this.state === "started" && recording.state !== "started" && this.audio.paused) this.reload();
    this.state = recording.state;
    const length = recording.durationMs > 0 ? duration(recording.durationMs) : "";
    const text = {
      started: "Still being recorded. The player has what was there when it was loaded.",
      finished: length && `${length}, customer left, agent right.`,
      interrupted: ["The recording was interrupted", recording.note, length && `${length} are there`].filter(Boolean).join(". ") + ".",
    }[recording.state];
    setText(this.note, text ?? recording.state);
    this.newest.hidden = recording.state !== "started";
  }

  private shown(): Recording | undefined {
    return this.parts.find(({ part }) => part === this.part) ?? this.parts[0];
  }

  private choose(part: number): void {
    this.part = part;
    this.state = "";
    this.audio.src = recordingUrl(this.call, part);
    this.download.href = this.audio.src;
    this.download.download = part === 1 ? `${this.call}.wav` : `${this.call}.${part}.wav`;
    this.draw(this.parts);
    this.element.dispatchEvent(new Event("part"));
  }

  /** Goes to a place, and plays from there when asked to. */
  seek(seconds: number, play: boolean): void {
    this.audio.currentTime = Math.max(0, seconds);
    if (play) void this.audio.play().catch(() => undefined);
  }

  rest(): void {
    this.audio.pause();
  }

  private reload(): void {
    // What was never loaded cannot be old.
    if (this.audio.readyState === HTMLMediaElement.HAVE_NOTHING) return;
    const at = this.audio.currentTime;
    this.audio.load();
    this.audio.addEventListener("loadedmetadata", () => (this.audio.currentTime = at), { once: true });
  }

  private listen(side: Side): void {
    for (const button of this.sides) button.setAttribute("aria-pressed", String(button.dataset["side"] === side));
    if (side === "both" && !this.gains) return;
    this.gains ??= this.graph();
    this.gains.customer.gain.value = side === "agent" ? 0 : 1;
    this.gains.agent.gain.value = side === "customer" ? 0 : 1;
    void this.gains.context.resume();
  }

  private graph(): { customer: GainNode; agent: GainNode; context: AudioContext } {
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    const [customer, agent] = [context.createGain(), context.createGain()];
    context.createMediaElementSource(this.audio).connect(splitter);
    splitter.connect(customer, 0);
    splitter.connect(agent, 1);
    // One channel each: the destination spreads it to both ears.
    customer.connect(context.destination);
    agent.connect(context.destination);
    this.audio.addEventListener("play", () => void context.resume());
    return { customer, agent, context };
  }

  private fail(): void {
    const code = this.audio.error?.code;
    setText(this.problem, code === MediaError.MEDIA_ERR_NETWORK ? "The connection broke while the recording was fetched. Play again to go on."
      : "The recording cannot be played: its file may be gone, or it holds no sound yet.");
  }

  private async shareLink(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    setText(this.problem, "");
    try {
      const { url, expiresAt } = await recordingLink(this.call, this.part);
      new Dialog("Link to this recording", "recording-link-dialog").open(
        h("p", {}, `Whoever has this link can hear this one recording, without signing in, until ${dateTime(expiresAt, Date.now()) || "it ends"}.`), copyLine("recording-url", "Link", url));
    } catch (error) {
      setText(this.problem, error instanceof Error ? error.message : "The link could not be made.");
    }
    button.disabled = false;
  }
}
