/**
 * The player of a recording's file: the browser's own player, which fetches ranges as needed, with a choice of both sides or one.
 *
 *   audio ─▶ source ─▶ splitter ─┬─ customer (left)  ─▶ gain ─┐
 *                                └─ agent    (right) ─▶ gain ─┴─▶ both ears
 *
 * The graph is created when a single side is first chosen; until then the browser plays the file directly.
 */

import { Dialog } from "../dialog.js";
import { h, ICON, icon, setText } from "../dom.js";
import { copyLine } from "../form.js";
import { legName } from "../legs.js";
import type { Part, Recording } from "../recordings.js";
import { dateTime, duration } from "../words.js";
import { recordingLink, recordingUrl } from "./requests.js";

type Side = "both" | "customer" | "agent";
const SIDES: readonly (readonly [Side, string])[] = [
  ["both", "Both"],
  ["customer", "Customer"],
  ["agent", "Agent"],
];
const SPEEDS = [1, 1.25, 1.5, 2];

export class Player {
  readonly element: HTMLElement;
  readonly audio: HTMLAudioElement;
  private readonly note = h("p", { class: "hint", role: "status" });
  private readonly problem = h("p", { id: "player-problem", class: "problem", role: "alert" });
  private readonly sides: HTMLButtonElement[];
  private readonly sideGroup: HTMLElement;
  private readonly newest: HTMLButtonElement;
  private gains: { customer: GainNode; agent: GainNode; context: AudioContext } | undefined;
  private readonly download: HTMLAnchorElement;
  private readonly original: HTMLAnchorElement;
  private readonly choice = h("select", { id: "recording-part", "aria-label": "Part of the recording", hidden: true });
  private recording: Recording | undefined;
  private part = 1;
  private state = "";
  private options = "";

  constructor(private readonly call: string) {
    // Nothing is fetched before the user plays, because the audit log records who has listened.
    this.audio = h("audio", { id: "recording", controls: true, preload: "none", src: recordingUrl(call) });
    this.audio.addEventListener("error", () => this.fail());
    this.audio.addEventListener("loadedmetadata", () => setText(this.problem, ""));
    this.sides = SIDES.map(([side, label]) =>
      h(
        "button",
        { class: "plain", type: "button", "data-side": side, "aria-pressed": String(side === "both"), onclick: () => this.listen(side) },
        label,
      ),
    );
    const speed = h("button", { id: "player-speed", class: "plain", type: "button", title: "Speed", "aria-label": "Speed: 1 times" }, "1×");
    speed.addEventListener("click", () => {
      const next = SPEEDS[(SPEEDS.indexOf(this.audio.playbackRate) + 1) % SPEEDS.length] ?? 1;
      this.audio.playbackRate = next;
      setText(speed, `${next}×`);
      speed.setAttribute("aria-label", `Speed: ${next} times`);
    });
    const skip = (seconds: number, label: string): HTMLElement =>
      h(
        "button",
        {
          class: "plain",
          type: "button",
          "aria-label": label,
          title: label,
          onclick: () => this.seek(this.audio.currentTime + seconds, false),
        },
        seconds < 0 ? `−${-seconds} s` : `+${seconds} s`,
      );
    const link = h(
      "button",
      {
        id: "recording-link",
        class: "quiet",
        type: "button",
        title: "A link that needs no sign-in",
        onclick: () => void this.shareLink(link),
      },
      icon(ICON.link),
      h("span", {}, "Link"),
    );
    this.download = h(
      "a",
      {
        id: "recording-download",
        class: "button quiet",
        href: recordingUrl(call),
        download: `${call}.wav`,
        title: "Download the recording",
      },
      icon(ICON.download),
      h("span", {}, "Download"),
    );
    this.original = h(
      "a",
      {
        id: "recording-original",
        class: "button quiet",
        download: "",
        title: "Download the file with a channel for each party",
        hidden: true,
      },
      icon(ICON.download),
      h("span", {}, "All channels"),
    );
    this.newest = h("button", { class: "quiet", type: "button", hidden: true, onclick: () => this.reload() }, "Load the latest sound");
    this.choice.addEventListener("change", () => this.choose(Number(this.choice.value)));
    this.sideGroup = h("div", { class: "segmented", role: "group", "aria-label": "Side to hear" }, ...this.sides);
    this.element = h(
      "div",
      { class: "player" },
      this.choice,
      this.audio,
      this.problem,
      h(
        "div",
        { class: "player-tools" },
        this.sideGroup,
        h(
          "div",
          { class: "segmented", role: "group", "aria-label": "Position and speed" },
          skip(-10, "10 seconds back"),
          skip(10, "10 seconds forward"),
          speed,
        ),
        h("span", { class: "grow" }),
        this.newest,
        h("span", { class: "player-links" }, link, this.download, this.original),
      ),
      this.note,
    );
  }

  /** Time of the first sample of the current file; null if unknown. */
  get startedAt(): string | null {
    return this.currentPart()?.startedAt ?? null;
  }

  /** Shows a recording. */
  draw(recording: Recording): void {
    if (this.recording && this.recording.number !== recording.number) this.part = recording.parts[0]?.part ?? 1;
    this.recording = recording;
    const { parts } = recording;
    const options = parts.map(({ part }) => part).join();
    if (options !== this.options) {
      this.options = options;
      this.choice.replaceChildren(
        ...parts.map(({ part }, index) => h("option", { value: String(part) }, `Part ${index + 1} of ${parts.length}`)),
      );
      this.choice.value = String(this.part);
      this.choice.hidden = parts.length < 2;
    }
    const part = this.currentPart();
    if (part) this.drawPart(part);
  }

  /** Returns the file that is played. */
  currentPart(): Part | undefined {
    const parts = this.recording?.parts ?? [];
    return parts.find(({ part }) => part === this.part) ?? parts[0];
  }

  private drawPart(part: Part): void {
    if (this.audio.getAttribute("src") !== part.url) this.load(part);
    // A recording that has been completed is longer than the file that was loaded while it ran.
    else if (this.state === "started" && part.state !== "started" && this.audio.paused) this.reload();
    this.state = part.state;
    const length = part.durationMs > 0 ? duration(part.durationMs) : "";
    const text = {
      started:
        this.recording?.state === "paused"
          ? "Paused: nothing is being recorded."
          : "Still recording. The player has the sound up to the moment it was loaded.",
      finished: `${[length, sidesText(part)].filter(Boolean).join(", ")}.`,
      interrupted: `${["The recording was interrupted", part.note, length && `${length} available`].filter(Boolean).join(". ")}.`,
    }[part.state];
    setText(this.note, text ?? part.state);
    this.newest.hidden = part.state !== "started";
    this.sideGroup.hidden = part.channels.filter(({ heard }) => !heard).length === 1;
    this.original.hidden = part.channels.length < 3;
    this.original.href = part.originalUrl;
  }

  private load(part: Part): void {
    const { number = 1 } = this.recording ?? {};
    this.audio.src = part.url;
    this.download.href = part.url;
    this.download.download = [this.call, number === 1 ? "" : `r${number}`, part.part === 1 ? "" : String(part.part), "wav"]
      .filter(Boolean)
      .join(".");
    setText(this.problem, "");
  }

  private choose(part: number): void {
    this.part = part;
    if (this.recording) this.draw(this.recording);
    this.element.dispatchEvent(new Event("part"));
  }

  /** Moves to a position in seconds, and plays from there if `play` is set. */
  seek(seconds: number, play: boolean): void {
    this.audio.currentTime = Math.max(0, seconds);
    if (play) void this.audio.play().catch(() => undefined);
  }

  /** Pauses the player. */
  rest(): void {
    this.audio.pause();
  }

  private reload(): void {
    // A file that was never loaded cannot be outdated.
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
    // Each has one channel, which the destination plays on both ears.
    customer.connect(context.destination);
    agent.connect(context.destination);
    this.audio.addEventListener("play", () => void context.resume());
    return { customer, agent, context };
  }

  private fail(): void {
    const code = this.audio.error?.code;
    setText(
      this.problem,
      code === MediaError.MEDIA_ERR_NETWORK
        ? "The connection broke while the recording was being fetched. Press play to continue."
        : "The recording cannot be played: its file may have been deleted, or it has no sound yet.",
    );
  }

  private async shareLink(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    setText(this.problem, "");
    try {
      const { url, expiresAt } = await recordingLink(this.call, this.recording?.number ?? 1, this.part);
      new Dialog("Link to this recording", "recording-link-dialog").open(
        h(
          "p",
          {},
          `Whoever has this link can hear this recording without signing in, until ${dateTime(expiresAt, Date.now()) || "it expires"}.`,
        ),
        copyLine("recording-url", "Link", url),
      );
    } catch (error) {
      setText(this.problem, error instanceof Error ? error.message : "The link could not be created.");
    }
    button.disabled = false;
  }
}

/** Returns the sides of the stereo file in words. */
function sidesText({ channels }: Part): string {
  const said = channels.filter(({ heard }) => !heard);
  const [only] = said;
  if (only && said.length === 1) {
    return channels.length === 2 ? `what ${legName(only)} says left, what it hears right` : `${legName(only)} only`;
  }
  const sides = said.length > 2 ? "customers left, all others right" : "customer left, agent right";
  return said.length < channels.length ? `${sides}; the original file also has what each hears` : sides;
}
