/** Draws a call's SIP ladder. It is folded at first; once opened, it follows the call. */
import * as api from "./api.js";
import { h, setText } from "./dom.js";
import { type Ladder, type Lane, lanes, type Rung, rungs } from "./ladder.js";
import { Latest } from "./latest.js";

/** Interval between fetches of a running call's messages. */
const FOLLOW_MS = 1000;

export class LadderView {
  readonly element: HTMLDetailsElement;
  private readonly note = h("p", { class: "hint", role: "status" });
  private readonly heads = h("div", { class: "lane-heads" });
  private readonly lines = h("div", { class: "lifelines", "aria-hidden": "true" });
  private readonly list = h("ol", { class: "rungs" });
  private readonly body = h("div", { class: "ladder-body", hidden: true });
  private readonly asked = new Latest();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** What has been drawn: number of parties, last and first step. */
  private drawn = { parties: 0, step: 0, first: 0 };
  private texts = new Map<number, string>();

  /** `readable`: the user may read the full messages. */
  constructor(
    private readonly call: string,
    private readonly readable: boolean,
  ) {
    this.body.append(this.heads, h("div", { class: "rungs-frame" }, this.lines, this.list));
    this.element = h("details", { class: "fold ladder", "data-role": "ladder" }, h("summary", {}, "SIP ladder"), this.note, this.body);
    this.element.addEventListener("toggle", () => (this.element.open ? void this.refresh() : this.rest()));
  }

  /** Stops following the call, for example when the card is no longer shown. */
  rest(): void {
    clearTimeout(this.timer);
    this.asked.cancel();
  }

  private async refresh(): Promise<void> {
    clearTimeout(this.timer);
    const wanted = this.asked.begin();
    try {
      const ladder = await api.traceShow(this.call, false);
      if (!wanted()) return;
      this.draw(ladder);
      if (!ladder.running) return;
    } catch (error) {
      if (!wanted()) return;
      this.explain(error);
      // The call's first message may still arrive, and the server may come back.
      if (error instanceof api.ApiError && ![0, 404, 503].includes(error.status)) return;
    }
    if (this.element.isConnected && this.element.open) this.timer = setTimeout(() => void this.refresh(), FOLLOW_MS);
  }

  private explain(error: unknown): void {
    const gone = error instanceof api.ApiError && error.status === 404;
    const text = error instanceof Error ? error.message : "The SIP messages could not be fetched.";
    setText(this.note, gone ? "No SIP messages are stored for this call." : text);
  }

  private draw(ladder: Ladder): void {
    const parts = [
      ladder.dropped > 0 ? `${ladder.dropped} earlier messages are no longer stored.` : "",
      this.readable ? "Choose an arrow to read its message." : "",
    ];
    setText(this.note, parts.filter(Boolean).join(" "));
    this.body.hidden = false;
    const first = ladder.steps[0]?.number ?? 0;
    // A new party or removed steps change every row.
    if (this.drawn.parties !== ladder.parties.length || this.drawn.first !== first) {
      this.drawn = { parties: ladder.parties.length, step: 0, first };
      this.drawLanes(lanes(ladder));
      this.list.replaceChildren();
    }
    for (const rung of rungs(ladder)) {
      if (rung.number <= this.drawn.step) continue;
      this.drawn.step = rung.number;
      this.list.append(this.rung(rung));
    }
  }

  private drawLanes(all: Lane[]): void {
    this.body.style.setProperty("--lanes", String(all.length));
    const head = (lane: Lane): HTMLElement =>
      h(
        "div",
        { class: "lane-head", "data-lane": lane.title.toLowerCase() },
        h("strong", {}, lane.title),
        h("span", {}, lane.peer),
        h("small", {}, lane.address),
      );
    this.heads.replaceChildren(h("span", { class: "after" }, "Seconds"), ...all.map(head));
    this.lines.replaceChildren(h("span", {}), ...all.map(() => h("i", {})));
  }

  private rung(rung: Rung): HTMLElement {
    const span = Math.abs(rung.to - rung.from) + 1;
    const words = [h("span", { class: "label" }, rung.label), ...rung.notes.map((note) => h("small", {}, note))];
    const properties = {
      class: "arrow",
      "data-to": rung.to > rung.from ? "right" : "left",
      "aria-label": rung.spoken,
      "data-tone": rung.tone,
      "data-again": rung.again,
    };
    const arrow = this.readable
      ? h("button", { ...properties, type: "button", "aria-expanded": "false" }, ...words)
      : h("span", { ...properties, role: "img" }, ...words);
    arrow.style.gridColumn = `${Math.min(rung.from, rung.to) + 2} / span ${span}`;
    arrow.style.setProperty("--span", String(span));
    const item = h("li", { class: "rung", "data-step": rung.number }, h("span", { class: "after" }, rung.time), arrow);
    if (this.readable) arrow.addEventListener("click", () => void this.toggle(rung.number, item, arrow));
    return item;
  }

  private async toggle(number: number, item: HTMLElement, arrow: HTMLElement): Promise<void> {
    const open = item.querySelector("pre");
    if (open) {
      open.remove();
      arrow.setAttribute("aria-expanded", "false");
      return;
    }
    const text = h("pre", { tabindex: 0, "data-waiting": true }, "One moment …");
    item.append(text);
    arrow.setAttribute("aria-expanded", "true");
    try {
      text.textContent = await this.message(number);
    } catch (error) {
      text.textContent = error instanceof Error ? error.message : "The message could not be fetched.";
    }
    delete text.dataset["waiting"];
  }

  private async message(number: number): Promise<string> {
    if (!this.texts.has(number)) {
      const ladder = await api.traceShow(this.call, true);
      this.texts = new Map(ladder.steps.map((step) => [step.number, (step.message ?? "") + (step.cut ? "(the rest was not stored)" : "")]));
    }
    return this.texts.get(number) ?? "This message is no longer stored.";
  }
}
