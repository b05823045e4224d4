/** Draws the sentences of a call. Each segment has one element, which stays in place while its text grows. */
import { type ClauseLag, CORRECTIONS_ABOUT, clauseLags, correctionsText, differencesOf, isIncomplete } from "./clauses.js";
import { differencesLine, drawDifferences, sourceNodes, targetNodes } from "./clauseview.js";
import { arrange, h, setNodes, setText } from "./dom.js";
import { BUDGET_MS, type LagMs, secondsText } from "./lag.js";
import { inOrder, type Sentence, type Sentences } from "./translations.js";

const STAGES: [keyof LagMs, string][] = [
  ["stt", "heard"],
  ["translate", "translated"],
  ["tts", "spoken"],
];

interface Row {
  element: HTMLElement;
  leg: string;
  who: HTMLElement;
  source: HTMLElement;
  target: HTMLElement;
  differences: HTMLElement;
  lag: HTMLElement;
  drawn?: Sentence;
}

export class SentenceList {
  private readonly rows = new Map<number, Row>();
  private last: Sentences | undefined;
  private budget = BUDGET_MS;

  /** `who`: returns the name of a leg on this page. */
  constructor(
    readonly element: HTMLElement,
    private readonly who: (leg: string) => string,
  ) {}

  /** `budget`: highest lateness of a clause that is spoken in this call, in ms. */
  draw(sentences: Sentences, budget: number): void {
    if (sentences === this.last && budget === this.budget) return;
    if (budget !== this.budget) for (const row of this.rows.values()) delete row.drawn;
    this.last = sentences;
    this.budget = budget;
    const atEnd = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 60;
    arrange(
      this.element,
      inOrder(sentences).map((sentence) => this.row(sentence)),
    );
    for (const segment of this.rows.keys()) if (!sentences.has(segment)) this.rows.delete(segment);
    // The list scrolls only if it was at its end, so that a user who has scrolled up can read.
    if (atEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  /** Draws the names again, after the page has changed them. */
  rename(): void {
    for (const { leg, who } of this.rows.values()) setText(who, this.who(leg));
  }

  private row(sentence: Sentence): HTMLElement {
    let row = this.rows.get(sentence.segment);
    if (!row) {
      const source = h("p", { class: "source", lang: sentence.sourceLanguage });
      const target = h("p", { class: "target", lang: sentence.targetLanguage });
      const differences = differencesLine();
      const lag = h("div", { class: "lag" });
      const who = h("span", { class: "who-said" }, this.who(sentence.leg));
      const element = h(
        "li",
        { class: "sentence", "data-segment": sentence.segment, "data-leg": sentence.leg },
        who,
        source,
        target,
        differences,
        lag,
      );
      row = { element, leg: sentence.leg, who, source, target, differences, lag };
      this.rows.set(sentence.segment, row);
    }
    if (row.drawn !== sentence) this.fill(row, sentence);
    return row.element;
  }

  private fill(row: Row, sentence: Sentence): void {
    row.drawn = sentence;
    row.element.dataset["final"] = String(sentence.final);
    row.element.dataset["unrecognised"] = String(sentence.unrecognised);
    row.element.dataset["missed"] = String(sentence.missed);
    const unknown = whyUnknown(sentence);
    setNodes(row.source, unknown === undefined ? sourceNodes(sentence) : [unknown]);
    const target = targetNodes(sentence, { source: sentence.sourceLanguage, target: sentence.targetLanguage });
    setNodes(row.target, isIncomplete(sentence) ? [...target, ...waiting(target.length > 0)] : target);
    row.target.hidden = row.target.textContent === "";
    drawDifferences(row.differences, differencesOf(sentence.clauses));
    drawLag(row.lag, sentence, this.budget);
  }
}

/** Returns what is shown instead of the sentence's text; `undefined` if there is a text. */
function whyUnknown(sentence: Sentence): string | undefined {
  if (sentence.missed) return "(not heard)";
  if (sentence.unrecognised) return "Not recognised";
  return sentence.text === "" ? "…" : undefined;
}

/** Returns the sign that more of the translation is to come. */
function waiting(isAfterWords: boolean): (string | Node)[] {
  return [isAfterWords ? " " : "", h("span", { class: "unsettled" }, "…")];
}

function drawLag(element: HTMLElement, { lag, clauses, corrections }: Sentence, budget: number): void {
  const corrected = correctionsText(corrections);
  setNodes(element, [
    ...STAGES.filter(([stage]) => lag[stage] !== null).map(([stage, label]) =>
      h("span", { class: "stage", "data-stage": stage }, `${label} ${lag[stage]} ms`),
    ),
    ...(lag.total === null ? [] : [h("span", { class: "total", "data-stage": "total" }, `total ${lag.total} ms`)]),
    ...drawnLags(clauseLags(clauses, budget), budget),
    ...(corrected === "" ? [] : [h("span", { "data-role": "corrections", title: CORRECTIONS_ABOUT }, corrected)]),
  ]);
}

function drawnLags(lags: readonly ClauseLag[], budget: number): HTMLElement[] {
  if (lags.length === 0) return [];
  const totals = lags.flatMap(({ text, isOver }, index) => [
    index === 0 ? "" : " · ",
    isOver ? h("strong", { class: "over-budget" }, text) : text,
  ]);
  const title = `From the end of each clause until the listener hears it; above ${secondsText(budget)} in bold`;
  return [h("span", { class: "clause-lags", "data-stage": "clauses", title }, "clauses ", ...totals, " s")];
}
