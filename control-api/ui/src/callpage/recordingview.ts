/** The recordings of a call: a list to choose from, and the player and channels of the chosen one. */
import { arrange, h, setText } from "../dom.js";
import { isRecording, type Recording, recordingName } from "../recordings.js";
import { duration } from "../words.js";
import { channelLanes } from "./channels.js";
import { ChannelsView } from "./channelsview.js";
import { Player } from "./player.js";

const STATES: Record<string, string> = { started: "recording", paused: "paused", finished: "", interrupted: "interrupted" };

export class RecordingView {
  readonly element: HTMLElement;
  readonly player: Player;
  private readonly list = h("div", {
    id: "recording-list",
    class: "recording-list",
    role: "group",
    "aria-label": "Recordings",
    hidden: true,
  });
  private readonly channels: ChannelsView;
  private readonly buttons = new Map<number, HTMLButtonElement>();
  private recordings: readonly Recording[] = [];
  private chosen = 0;

  /** `onFile`: called when another file is played, whose first sample has another time. */
  constructor(
    call: string,
    private readonly onFile: () => void,
  ) {
    this.player = new Player(call);
    this.channels = new ChannelsView((seconds) => this.player.seek(seconds, true));
    this.player.audio.addEventListener("timeupdate", () => this.channels.follow(this.player.audio.currentTime));
    this.player.audio.addEventListener("seeked", () => this.channels.follow(this.player.audio.currentTime));
    this.player.element.addEventListener("part", () => {
      this.drawChannels();
      this.onFile();
    });
    this.element = h("div", { class: "stack" }, this.list, this.player.element, this.channels.element);
  }

  draw(recordings: readonly Recording[]): void {
    this.recordings = recordings;
    if (!recordings.some((one) => one.number === this.chosen)) this.chosen = recordings[0]?.number ?? 0;
    this.list.hidden = recordings.length < 2;
    arrange(
      this.list,
      recordings.map((one) => this.button(one)),
    );
    const shown = this.chosenRecording();
    if (shown) this.player.draw(shown);
    this.drawChannels();
  }

  private chosenRecording(): Recording | undefined {
    return this.recordings.find((one) => one.number === this.chosen);
  }

  private button(recording: Recording): HTMLButtonElement {
    const { number, state, durationMs } = recording;
    let button = this.buttons.get(number);
    if (!button) {
      button = h(
        "button",
        { class: "plain", type: "button", "data-recording": number, onclick: () => this.choose(number) },
        h("strong", {}),
        h("small", {}),
      );
      this.buttons.set(number, button);
    }
    button.setAttribute("aria-pressed", String(number === this.chosen));
    setText(button.querySelector("strong") ?? button, recordingName(recording, this.recordings.length));
    setText(
      button.querySelector("small") ?? button,
      [durationMs > 0 || !isRecording(recording) ? duration(durationMs) : "", STATES[state] ?? state].filter(Boolean).join(", "),
    );
    return button;
  }

  private choose(number: number): void {
    if (number === this.chosen) return;
    this.chosen = number;
    this.draw(this.recordings);
    this.onFile();
  }

  private drawChannels(): void {
    const [shown, part] = [this.chosenRecording(), this.player.currentPart()];
    if (shown && part) this.channels.draw(channelLanes(part, shown.gaps, Date.now()));
  }
}
