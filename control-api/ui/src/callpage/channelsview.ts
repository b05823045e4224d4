/** Draws the channels of a file below its player: parties, gaps and the player's position. A click seeks. */
import { arrange, h, setText } from "../dom.js";
import { duration } from "../words.js";
import type { Lane, Lanes } from "./channels.js";

export class ChannelsView {
  readonly element: HTMLElement;
  private readonly scale = h("div", { class: "track-scale", "aria-hidden": "true" });
  private readonly list = h("ol", { id: "recording-channels", class: "tracks channels", "aria-label": "Channels" });
  private readonly gaps = h("p", { id: "recording-gaps", class: "track-words" });
  private readonly head = h("i", { class: "playhead", "aria-hidden": "true" });
  private lengthMs = 1;
  private drawn = "";

  /** `seek`: moves the player to a position in seconds. */
  constructor(private readonly seek: (seconds: number) => void) {
    this.element = h("div", { class: "channels-frame tracks-frame" }, this.scale, this.list, this.gaps);
    this.list.addEventListener("click", (event) => {
      const bar = event.target instanceof Element ? event.target.closest(".track-bar") : null;
      if (!bar) return;
      const { left, width } = bar.getBoundingClientRect();
      this.seek((((event as MouseEvent).clientX - left) / width) * (this.lengthMs / 1000));
    });
  }

  draw(lanes: Lanes): void {
    const drawn = JSON.stringify(lanes);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.lengthMs = lanes.lengthMs;
    this.element.hidden = lanes.lanes.length === 0;
    this.scale.replaceChildren(...[0, 0.5, 1].map((share) => h("span", {}, duration(lanes.lengthMs * share))));
    arrange(
      this.list,
      lanes.lanes.map((lane) => this.lane(lane, lanes)),
    );
    setText(this.gaps, lanes.gaps.length === 0 ? "" : `${lanes.gaps.map(({ words }) => words).join(". ")}. Nothing was recorded there.`);
  }

  /** Shows the player's position, in seconds. */
  follow(seconds: number): void {
    this.list.style.setProperty("--at", `${Math.min(100, (100 * seconds * 1000) / this.lengthMs)}%`);
  }

  private lane({ channel, leg, role, name, from, to, words }: Lane, { lengthMs, gaps }: Lanes): HTMLElement {
    const span = (kind: string, begin: number, end: number, title: string): HTMLElement => {
      const element = h("i", { "data-span": kind, title });
      element.style.left = `${(100 * begin) / lengthMs}%`;
      element.style.width = `${(100 * (end - begin)) / lengthMs}%`;
      return element;
    };
    return h(
      "li",
      { class: "track", "data-channel": channel, "data-leg": leg, "data-role": role },
      h("div", { class: "track-who" }, h("strong", {}, name), h("span", { class: "muted" }, `channel ${channel + 1}, ${words}`)),
      h(
        "div",
        { class: "track-bar seekable", "aria-hidden": "true" },
        span("recorded", from, to, `${name} ${words}`),
        ...gaps.map((gap) => span("gap", gap.from, gap.to, gap.words)),
        this.head.cloneNode(),
      ),
    );
  }
}
