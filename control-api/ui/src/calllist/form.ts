/** Search and filters of the call list. Filters apply as soon as they are set, the search when it is submitted. */
import { h, ICON, icon, setText } from "../dom.js";
import { type Field, field, select } from "../form.js";
import { ApiError } from "../http.js";
import { fieldMeant } from "../refusals.js";
import { DIRECTION, type Filters, filterCount, NO_FILTERS, STATUS, WHEN } from "./filters.js";

export class FilterForm {
  readonly element: HTMLFormElement;
  private readonly q: HTMLInputElement;
  private readonly fields: Record<Exclude<keyof Filters, "q">, Field>;
  private readonly qProblem = h("p", { id: "calls-q-problem", class: "problem", role: "alert" });
  private readonly days: HTMLElement;
  private readonly fold: HTMLDetailsElement;
  private readonly summary = h("span", {});
  private readonly clear: HTMLButtonElement;
  private readonly known = { agent: h("datalist", { id: "known-agents" }), outcome: h("datalist", { id: "known-outcomes" }) };

  /** `everybody`: the user may see the calls of other agents, so that a filter by agent makes sense. */
  constructor(
    filters: Filters,
    everybody: boolean,
    private readonly apply: (filters: Filters) => void,
  ) {
    this.q = h("input", {
      id: "calls-q",
      type: "search",
      maxlength: 200,
      placeholder: "Words from the call or its translation",
      "aria-label": "Search in transcripts",
      "aria-describedby": "calls-q-problem",
    });
    const input = (name: string, more: Record<string, string>): HTMLInputElement =>
      h("input", { id: `calls-${name}`, maxlength: 100, autocomplete: "off", spellcheck: "false", ...more });
    this.fields = {
      when: field("when", "Time", select("calls-when", WHEN)),
      from: field("from", "First day", input("from", { type: "date" })),
      to: field("to", "Last day", input("to", { type: "date" })),
      number: field("number", "Number", input("number", { type: "tel", placeholder: "+44 20 …" })),
      agent: field("agent", "Agent", input("agent", { list: "known-agents", placeholder: "Phone name" })),
      outcome: field("outcome", "Outcome", input("outcome", { list: "known-outcomes" })),
      status: field("status", "Status", select("calls-status", STATUS)),
      direction: field("direction", "Direction", select("calls-direction", DIRECTION)),
    };
    this.fields.agent.element.hidden = !everybody;
    const { when, from, to, number, agent, outcome, status, direction } = this.fields;
    this.days = h("div", { class: "pair-row" }, from.element, to.element);
    this.clear = h(
      "button",
      { id: "calls-reset", class: "quiet", type: "button", title: "Clear search and filters", onclick: () => this.reset() },
      icon(ICON.close),
      h("span", {}, "Clear"),
    );
    this.fold = h(
      "details",
      { id: "calls-filters", class: "fold filters" },
      h("summary", {}, this.summary),
      h(
        "div",
        { class: "filter-grid" },
        when.element,
        this.days,
        number.element,
        agent.element,
        outcome.element,
        status.element,
        direction.element,
      ),
      this.known.agent,
      this.known.outcome,
    );
    this.element = h(
      "form",
      { id: "calls-form", class: "card call-filters", role: "search" },
      h(
        "div",
        { class: "field" },
        this.q,
        h("button", { id: "calls-search", class: "primary", type: "submit" }, icon(ICON.search), h("span", {}, "Search")),
        this.clear,
      ),
      this.qProblem,
      this.fold,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.element.addEventListener("change", ({ target }) => {
      if (target === when.input) this.drawDays();
      // After "Between two days" the days are still to be chosen, and the search is submitted by its button.
      if (target !== this.q && !(target === when.input && when.input.value === "between")) this.send();
    });
    this.set(filters);
    this.fold.open = window.matchMedia("(min-width: 861px)").matches || filterCount(filters) > 0;
  }

  set(filters: Filters): void {
    this.q.value = filters.q;
    for (const [name, { input }] of Object.entries(this.fields)) input.value = filters[name as keyof Filters];
    this.drawDays();
    this.drawSummary();
  }

  reset(): void {
    this.set(NO_FILTERS);
    this.send();
  }

  /** Shows a refusal at the field that it names; returns false if it names none of these fields. */
  refuse(error: unknown): boolean {
    const all = Object.values(this.fields);
    for (const one of [...all, { input: this.q, problem: this.qProblem }]) {
      setText(one.problem, "");
      one.input.removeAttribute("aria-invalid");
    }
    if (!(error instanceof ApiError)) return false;
    const name = fieldMeant(error.field, [...all.map((one) => one.name), "q"]);
    const meant = name === "q" ? { input: this.q, problem: this.qProblem } : all.find((one) => one.name === name);
    if (!meant) return false;
    setText(meant.problem, error.plain);
    meant.input.setAttribute("aria-invalid", "true");
    if (name !== "q") this.fold.open = true;
    return true;
  }

  /** Adds agents and outcomes of the shown calls to the suggestions. */
  learn(words: readonly (readonly ["agent" | "outcome", string])[]): void {
    for (const [name, word] of words) {
      const list = this.known[name];
      if (word !== "" && ![...list.children].some((option) => option.getAttribute("value") === word))
        list.append(h("option", { value: word }));
    }
  }

  private send(): void {
    this.drawSummary();
    this.apply(this.read());
  }

  private read(): Filters {
    const filters: Record<string, string> = { q: this.q.value.trim() };
    for (const [name, { input }] of Object.entries(this.fields)) filters[name] = input.value.trim();
    return { ...NO_FILTERS, ...filters };
  }

  private drawDays(): void {
    this.days.hidden = this.fields.when.input.value !== "between";
  }

  private drawSummary(): void {
    const filters = this.read();
    const count = filterCount(filters);
    setText(this.summary, count === 0 ? "Filters" : count === 1 ? "1 filter" : `${count} filters`);
    this.clear.hidden = count === 0 && filters.q === "";
  }
}
