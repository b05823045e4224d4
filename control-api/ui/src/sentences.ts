/** Draws the sentences of a call. Each segment has one element, which stays in place while its text grows. */
import { arrange, h, setText } from "./dom.js";
import { inOrder, type LagMs, type Sentence, type Sentences } from "./translations.js";

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
  lag: HTMLElement;
  drawn?: Sentence;
}

export class SentenceList {
  private readonly rows = new Map<number, Row>();
  private last: Sentences | undefined;

  /** `who`: returns the name of a leg on this page. */
  constructor(
    readonly element: HTMLElement,
    private readonly who: (leg: string) => string,
  ) {}

  draw(sentences: Sentences): void {
    if (sentences === this.last) return;
    this.last = sentences;
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
      const lag = h("div", { class: "lag" });
      const who = h("span", { class: "who-said" }, this.who(sentence.leg));
      const element = h("li", { class: "sentence", "data-segment": sentence.segment, "data-leg": sentence.leg }, who, source, target, lag);
      row = { element, leg: sentence.leg, who, source, target, lag };
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
    setText(row.source, words(sentence));
    setText(row.target, sentence.translation ?? (sentence.final || sentence.unrecognised ? "" : "…"));
    row.target.hidden = row.target.textContent === "";
    drawLag(row.lag, sentence.lag);
  }
}

/** Returns the sentence's text, or why it is unknown. */
function words(sentence: Sentence): string {
  if (sentence.missed) return "(not heard)";
  return sentence.unrecognised ? "Not recognised" : sentence.text || "…";
}

function drawLag(element: HTMLElement, lag: LagMs): void {
  const stages = STAGES.filter(([stage]) => lag[stage] !== null);
  if (stages.length === 0 && lag.total === null) {
    element.replaceChildren();
    return;
  }
  element.replaceChildren(
    ...stages.map(([stage, label]) => h("span", { class: "stage", "data-stage": stage }, `${label} ${lag[stage]} ms`)),
    ...(lag.total === null ? [] : [h("span", { class: "total", "data-stage": "total" }, `total ${lag.total} ms`)]),
  );
}
