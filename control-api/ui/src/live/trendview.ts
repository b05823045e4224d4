/** Draws the lag of the newest clauses: the line, the budget and the current value. */
import { h, setText } from "../dom.js";
import { secondsText } from "../lag.js";
import type { Sentences } from "../translations.js";
import { clauseTotals, currentText, HEIGHT, height, isOverBudget, points, trendText, WIDTH } from "./trend.js";

const SVG = "http://www.w3.org/2000/svg";
const ABOUT = "Time from the end of a clause at the speaker until the listener hears it; the dashed line is the budget";

export class LagTrend {
  readonly element: HTMLElement;
  private readonly svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  private readonly line = shape("polyline", { class: "trend-line" });
  private readonly marks = shape("g", { class: "trend-marks" });
  private readonly now = h("strong", { class: "trend-now", "data-role": "lag-now" });
  private readonly budget = h("span", { class: "trend-budget" });
  private drawn: Sentences | undefined;

  constructor() {
    const y = height(1, 1);
    this.svg.append(shape("line", { class: "trend-limit", x1: 0, x2: WIDTH, y1: y, y2: y }), this.line, this.marks);
    this.element = h(
      "p",
      { class: "lag-trend", "data-role": "lag-trend", title: ABOUT, hidden: true },
      h("span", {}, "Lag"),
      this.svg,
      this.now,
      this.budget,
    );
  }

  /** `budget`: highest lateness of a spoken clause, in ms. */
  draw(sentences: Sentences, budget: number): void {
    if (sentences === this.drawn) return;
    this.drawn = sentences;
    const totals = clauseTotals(sentences);
    this.element.hidden = totals.length === 0;
    if (totals.length === 0) return;
    const over = isOverBudget(totals, budget);
    this.element.dataset["tone"] = over ? "warn" : "";
    setText(this.now, currentText(totals));
    setText(this.budget, over ? `over ${secondsText(budget)}` : `of ${secondsText(budget)}`);
    this.drawLine(totals, budget);
  }

  private drawLine(totals: readonly number[], budget: number): void {
    const all = points(totals, budget);
    this.svg.setAttribute("aria-label", trendText(totals, budget));
    this.line.setAttribute("points", all.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "));
    const marked = all.filter(({ isOver }, index) => isOver || index === all.length - 1);
    this.marks.replaceChildren(...marked.map(({ x, y, isOver }) => shape("circle", { cx: x, cy: y, r: 2.2, class: isOver ? "over" : "" })));
  }
}

function shape(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name) as SVGElement;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}
