/** Draws the history of the call's programs, with a line for each step. */
import { arrange, h, setText } from "../dom.js";
import { dateTime } from "../words.js";
import { type ProgramHistory, type Step, verbText } from "./program.js";

export class ProgramView {
  readonly element: HTMLElement;
  private readonly list = h("ol", { id: "program-steps", class: "steps" });
  private readonly ended = h("p", { id: "program-ended", class: "step-end", role: "status" });
  private readonly rows = new Map<string, { element: HTMLElement; drawn: string }>();

  constructor() {
    this.element = h(
      "section",
      { id: "program", class: "card panel", "aria-label": "Call program", hidden: true },
      h("h2", {}, "Call program"),
      this.list,
      this.ended,
    );
  }

  draw(history: ProgramHistory | undefined): void {
    this.element.hidden = history === undefined;
    if (!history) return;
    const several = history.runs.length > 1;
    arrange(
      this.list,
      history.runs.flatMap(({ program, steps }, index) => [
        ...(several
          ? [
              this.row(`run ${program}`, String(index), () =>
                h("li", { class: "step-run" }, index === 0 ? "First program" : `Program ${index + 1}`),
              ),
            ]
          : []),
        ...steps.map((step) => this.row(step.key, JSON.stringify(step), () => stepRow(step))),
      ]),
    );
    setText(this.ended, history.ended === "" ? "The program is running." : `${history.ended}.`);
    this.ended.dataset["tone"] = history.tone;
  }

  private row(key: string, drawn: string, build: () => HTMLElement): HTMLElement {
    const known = this.rows.get(key);
    if (known?.drawn === drawn) return known.element;
    const element = build();
    this.rows.set(key, { element, drawn });
    return element;
  }
}

function stepRow({ path, verb, at, after, outcome, detail, took, tone, running }: Step): HTMLElement {
  return h(
    "li",
    { class: "step", "data-step": path, "data-running": String(running) },
    h("time", { datetime: at, title: dateTime(at, Date.now(), true) }, after),
    h(
      "div",
      { class: "step-what" },
      h("strong", {}, verbText(verb)),
      h("code", { title: "Position in the program" }, path),
      detail && h("span", { class: "muted" }, detail),
    ),
    h(
      "div",
      { class: "step-came" },
      running || outcome !== "" ? h("span", { class: "pill", "data-tone": running ? "good" : tone }, running ? "Running" : outcome) : null,
      took && h("span", { class: "muted" }, took),
    ),
  );
}
