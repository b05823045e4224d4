/**
 * What the sides of a translated call hear, and the choice of it.
 *
 *   choice ─▶ request ─┬─ done ─▶ the answer is shown
 *                      └─ refused ─▶ the state before, and the reason
 */
import * as api from "./api.js";
import { h, setText } from "./dom.js";
import { select } from "./form.js";
import { HEARS, hearsText, isImpaired, type Listener, type ListenerPatch, type Listening, parseHears, type SideName } from "./listening.js";
import { LANGUAGES, languageName } from "./words.js";

export interface ListeningBarOptions {
  /** Whether the user may change how the sides listen. */
  allowed: boolean;
  /** The sides that are shown, each with the name that it has on the page. */
  sides: readonly (readonly [side: SideName, name: string])[];
  /** Begins the ids of the elements. */
  id: string;
  /** Takes the state that the server has confirmed. */
  onListening(call: string, listening: Listening): void;
}

export class ListeningBar {
  readonly element = h("div", { class: "listening", "data-role": "listening", role: "group", "aria-label": "Listening", hidden: true });
  /** Made when a state is drawn first: most cards are of calls that are not translated. */
  private rows: readonly Row[] = [];
  private readonly problem = h("p", { class: "problem", role: "alert", "data-role": "listening-problem" });
  private call = "";

  constructor(private readonly options: ListeningBarOptions) {
    this.element.append(this.problem);
  }

  /** Draws the state; `undefined`: the call is not translated, or not yet. */
  draw(call: string, listening: Listening | undefined): void {
    if (call !== this.call) setText(this.problem, "");
    this.call = call;
    this.element.hidden = listening === undefined;
    if (!listening) return;
    if (this.rows.length === 0) {
      const { options } = this;
      this.rows = options.sides.map(([side, name]) => new Row(side, name, options, (patch) => void this.change(side, patch)));
      this.element.prepend(...this.rows.map(({ element }) => element));
    }
    for (const row of this.rows) row.draw(listening);
  }

  private async change(side: SideName, patch: ListenerPatch): Promise<void> {
    const { call } = this;
    setText(this.problem, "");
    for (const row of this.rows) row.busy(true);
    try {
      this.options.onListening(call, await api.listeningUpdate(call, side, patch));
    } catch (error) {
      if (call === this.call) setText(this.problem, error instanceof Error ? error.message : "The server did not carry this out.");
    }
    for (const row of this.rows) row.busy(false);
  }
}

class Row {
  readonly element: HTMLElement;
  private readonly text = h("span", { class: "listening-text", role: "status" });
  private readonly hears: HTMLSelectElement;
  private readonly language: HTMLSelectElement;
  private shown: Listener | undefined;

  constructor(
    private readonly side: SideName,
    private readonly name: string,
    { allowed, id }: ListeningBarOptions,
    onChange: (patch: ListenerPatch) => void,
  ) {
    this.hears = select(`${id}-${side}-hears`, HEARS);
    this.language = select(
      `${id}-${side}-language`,
      LANGUAGES.map((tag) => [tag, languageName(tag)] as const),
    );
    this.hears.setAttribute("aria-label", `What ${subject(name)} ${verb(name)}`);
    this.language.setAttribute("aria-label", `Language of ${subject(name)}`);
    this.hears.addEventListener("change", () => onChange({ hears: parseHears(this.hears.value) }));
    this.language.addEventListener("change", () => onChange({ language: this.language.value }));
    const choice = h("span", { class: "listening-choice", hidden: !allowed }, this.language, this.hears);
    this.element = h("div", { class: "listening-row", "data-side": side }, this.text, choice);
  }

  draw(listening: Listening): void {
    const listener = listening[this.side];
    this.element.dataset["tone"] = isImpaired(listener) ? "warn" : "";
    setText(this.text, `${this.name} ${verb(this.name)} ${hearsText(listening, this.side)}`);
    this.shown = listener;
    this.reset();
  }

  /** Disables the choices while a request is under way; they show the confirmed state afterwards. */
  busy(busy: boolean): void {
    this.hears.disabled = this.language.disabled = busy;
    if (!busy) this.reset();
  }

  private reset(): void {
    if (!this.shown || this.hears.disabled) return;
    const { hears, language } = this.shown;
    this.hears.value = hears;
    if (![...this.language.options].some(({ value }) => value === language)) {
      this.language.append(h("option", { value: language }, languageName(language)));
    }
    this.language.value = language;
  }
}

function subject(name: string): string {
  return name === "You" ? "you" : `the ${name.toLowerCase()}`;
}

function verb(name: string): string {
  return name === "You" ? "hear" : "hears";
}
