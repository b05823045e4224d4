/** Draws a call's legs: for each direction whether sound flows, its quality, and the reason if it does not flow. */
import { arrange, h, setText } from "./dom.js";
import { type Direction, describe, endingText, type Leg, type Legs, legName, roleName, scoreText, seatText, shownLegs } from "./legs.js";

const DIRECTIONS: readonly Direction[] = ["incoming", "outgoing"];
const HEADINGS: Record<Direction, string> = { incoming: "From them", outgoing: "To them" };

export class LegView {
  readonly element = h("div", { class: "legs", hidden: true });
  private readonly rows = new Map<number, LegRow>();
  private last: Legs | undefined;

  draw(legs: Legs): void {
    if (legs === this.last) return;
    this.last = legs;
    const shown = shownLegs(legs);
    this.element.hidden = shown.length === 0;
    arrange(
      this.element,
      shown.map((leg) => this.row(leg, legs).element),
    );
  }

  private row(leg: Leg, legs: Legs): LegRow {
    let row = this.rows.get(leg.leg);
    if (!row) {
      row = new LegRow(leg.leg);
      this.rows.set(leg.leg, row);
    }
    row.draw(leg, legs);
    return row;
  }
}

class LegRow {
  readonly element: HTMLElement;
  private readonly who = h("h3", {});
  private readonly codec = h("span", { class: "muted" });
  private readonly seat = h("span", { class: "pill", "data-role": "seat", hidden: true });
  private readonly ending = h("p", { class: "leg-ending muted", "data-role": "ending", hidden: true });
  private readonly cells: Record<Direction, DirectionCell> = {
    incoming: new DirectionCell("incoming"),
    outgoing: new DirectionCell("outgoing"),
  };

  constructor(leg: number) {
    this.element = h(
      "div",
      { class: "leg", "data-media-leg": leg },
      h("div", { class: "leg-who" }, this.who, this.codec, this.seat),
      ...DIRECTIONS.map((direction) => this.cells[direction].element),
      this.ending,
    );
  }

  draw(leg: Leg, legs: Legs): void {
    // Several legs of one role are distinguished by their names.
    const several = [...legs.values()].filter(({ role }) => role === leg.role).length > 1;
    setText(this.who, several ? legName(leg) : roleName(leg.role));
    this.who.title = legName(leg);
    const seat = leg.state === "ended" ? "" : seatText(leg, legs);
    this.seat.hidden = seat === "";
    this.seat.dataset["tone"] = leg.held || leg.holds || leg.muted ? "warn" : "idle";
    setText(this.seat, seat);
    setText(this.codec, leg.state === "ended" ? "ended" : (leg.codec ?? ""));
    this.element.dataset["role"] = leg.role;
    this.element.dataset["ended"] = String(leg.state === "ended");
    // A leg that was never answered had no sound.
    const media = leg.flow !== null || leg.quality !== null;
    for (const direction of DIRECTIONS) {
      this.cells[direction].element.hidden = !media;
      if (media) this.cells[direction].draw(leg);
    }
    const ending = leg.state === "ended" ? endingText(leg.ending, media || leg.codec !== null) : "";
    this.ending.hidden = ending === "";
    setText(this.ending, ending && `${ending}.`);
  }
}

class DirectionCell {
  readonly element: HTMLElement;
  private readonly pill = h("span", { class: "pill" });
  private readonly score = h("span", { class: "score" });
  private readonly why = h("p", { class: "why", role: "status", hidden: true });

  constructor(private readonly direction: Direction) {
    this.element = h(
      "div",
      { class: "direction", "data-flow": direction, role: "group" },
      h("span", { class: "heading" }, HEADINGS[direction]),
      this.pill,
      this.score,
      this.why,
    );
  }

  draw(leg: Leg): void {
    const flow = leg.flow?.[this.direction];
    const ended = leg.state === "ended";
    const { tone, label, why } = ended
      ? { tone: "idle", label: "Ended", why: null }
      : flow
        ? describe(this.direction, flow)
        : { tone: "idle", label: "Not known yet", why: null };
    this.element.setAttribute("aria-label", `${roleName(leg.role)}: ${HEADINGS[this.direction]}`);
    this.element.dataset["state"] = flow?.state ?? "";
    this.pill.dataset["tone"] = tone;
    setText(this.pill, label);
    const score = leg.quality?.[this.direction];
    setText(this.score, score ? scoreText(score, ended) : "");
    this.why.hidden = why === null;
    this.why.dataset["tone"] = tone;
    // The server's sentences start in lower case, like log lines.
    setText(this.why, why === null ? "" : `${why.charAt(0).toUpperCase()}${why.slice(1)}.`);
  }
}
