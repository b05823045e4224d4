/** Draws a call's legs over time: a lane for each, with a line in words below it, so that colour is never the only information. */
import { arrange, h, setText } from "../dom.js";
import { duration } from "../words.js";
import type { LegTimes } from "./detail.js";
import type { Span, Track, Tracks } from "./tracks.js";

const KINDS: Record<Span["kind"], string> = {
  ring: "rings",
  talk: "in the call",
  held: "on hold",
  holds: "put the call on hold",
  muted: "muted",
  listen: "listens",
  whisper: "whispers",
  barge: "heard by everybody",
  recorded: "recorded",
  gap: "paused",
};

export class TracksView {
  readonly element: HTMLElement;
  private readonly lanes = h("ol", { id: "leg-timeline", class: "tracks" });
  private readonly scale = h("div", { class: "track-scale", "aria-hidden": "true" });
  private readonly rows = new Map<number, Row>();

  constructor() {
    this.element = h("div", { class: "tracks-frame" }, this.scale, this.lanes);
  }

  /** Draws the tracks. `facts`: codec and quality of each leg. */
  draw({ until, tracks }: Tracks, facts: ReadonlyMap<number, Pick<LegTimes, "codec" | "quality">>): void {
    this.scale.replaceChildren(...[0, 0.5, 1].map((part) => h("span", {}, duration(until * part))));
    this.scale.hidden = tracks.length === 0;
    arrange(
      this.lanes,
      tracks.map((track) => {
        let row = this.rows.get(track.leg);
        if (!row) {
          row = new Row(track);
          this.rows.set(track.leg, row);
        }
        const { codec, quality } = facts.get(track.leg) ?? { codec: null, quality: "" };
        row.draw(track, until, [codec, quality].filter(Boolean).join(", "));
        return row.element;
      }),
    );
  }
}

class Row {
  readonly element: HTMLElement;
  private readonly name = h("strong", {});
  private readonly facts = h("span", { class: "muted" });
  private readonly bar = h("div", { class: "track-bar", "aria-hidden": "true" });
  private readonly words = h("p", { class: "track-words" });
  private drawn = "";

  constructor({ leg, role }: Track) {
    this.element = h(
      "li",
      { class: "track", [leg < 0 ? "data-recording-facts" : "data-leg-facts"]: Math.abs(leg), "data-role": role },
      h("div", { class: "track-who" }, this.name, this.facts),
      this.bar,
      this.words,
    );
  }

  draw(track: Track, until: number, facts: string): void {
    this.element.dataset["ended"] = String(track.ended);
    setText(this.name, track.name);
    setText(this.facts, facts);
    setText(
      this.words,
      [track.when, ...track.between, track.ending]
        .filter(Boolean)
        .map((part) => `${part}.`)
        .join(" "),
    );
    const spans = JSON.stringify([until, track.spans]);
    if (spans === this.drawn) return;
    this.drawn = spans;
    this.bar.replaceChildren(
      ...track.spans.map(({ kind, from, to, open }) => {
        const span = h("i", { "data-span": kind, "data-open": String(open), title: `${KINDS[kind]} ${duration(from)} to ${duration(to)}` });
        span.style.left = `${(100 * from) / until}%`;
        span.style.width = `${(100 * (to - from)) / until}%`;
        return span;
      }),
    );
  }
}
