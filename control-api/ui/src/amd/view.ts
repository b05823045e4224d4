/** Draws the detection of answering machines on a leg: verdict, what followed it, and a strip of the sound with marks. */
import { arrange, h, ICON, icon, setText } from "../dom.js";
import { type Leg, type Legs, legName } from "../legs.js";
import { HEIGHT, humanNow, type Picture, paths, picture, pictureText, places, ticks, WIDTH } from "./picture.js";
import { type Amd, currentVerdict } from "./state.js";
import { actionText, answerTone, badge, capital, correctionText, decidedText, factGroups, foundText } from "./words.js";
import "./amd.css";

const SVG = "http://www.w3.org/2000/svg";
/** Height of a row of labels, in pixels. */
const ROW_PX = 19;
/** Time for which the strip stays visible after a verdict, a correction or the end of a message, if nothing more is expected. */
const LINGER_MS = 10_000;

/** `live`: the strip folds when it is no longer needed; `record`: with the evidence in words. */
export type AmdLook = "live" | "record";

/** Panels for the screened legs of a call. */
export class AmdView {
  readonly element: HTMLElement;
  private readonly panels = new Map<number, AmdPanel>();

  constructor(private readonly look: AmdLook) {
    this.element = h("div", { class: "amd-list", hidden: true });
  }

  draw(legs: Legs): void {
    const screened = [...legs.values()].filter(({ amd }) => amd !== null);
    this.element.hidden = screened.length === 0;
    arrange(
      this.element,
      screened.map((leg) => {
        let panel = this.panels.get(leg.leg);
        if (!panel) {
          panel = new AmdPanel(leg.leg, this.look);
          this.panels.set(leg.leg, panel);
        }
        panel.draw(leg, screened.length > 1);
        return panel.element;
      }),
    );
  }

  /** Folds strips that are no longer needed. */
  tick(): void {
    for (const panel of this.panels.values()) panel.tick();
  }
}

class AmdPanel {
  readonly element: HTMLElement;
  private readonly who = h("strong", { class: "amd-who", hidden: true });
  private readonly badge = h("span", { class: "pill", "data-role": "amd-verdict" });
  private readonly action = h("span", { class: "amd-action", "data-role": "amd-action" });
  private readonly now = h("span", { class: "amd-now" });
  private readonly correction = h("p", { class: "note warn", "data-role": "amd-correction", hidden: true });
  private readonly strip = new AmdStrip();
  private readonly facts = h("div", { class: "amd-facts" });
  private readonly foldText = h("span", {});
  private readonly fold: HTMLButtonElement;
  private drawn: { amd: Amd; over: boolean } | undefined;
  /** Whether the user wants to see the strip; `undefined` while that is left to the page. */
  private wanted: boolean | undefined;
  /** When the newest verdict, correction or end of a message arrived; 0 if none has arrived since the page was opened. */
  private newsAt = 0;
  private factsDrawn = "";

  constructor(
    leg: number,
    private readonly look: AmdLook,
  ) {
    this.fold = h(
      "button",
      { class: "quiet amd-fold", type: "button", "data-role": "amd-fold", hidden: true },
      this.foldText,
      icon(ICON.next),
    );
    this.fold.addEventListener("click", () => {
      this.wanted = this.strip.element.hidden;
      this.tick();
    });
    this.element = h(
      "section",
      { class: "amd", "data-amd-leg": leg },
      h(
        "div",
        { class: "amd-head" },
        this.who,
        h("span", { class: "amd-status", role: "status" }, this.badge, this.action),
        this.fold,
        this.now,
      ),
      this.correction,
      this.strip.element,
      this.facts,
    );
  }

  draw(leg: Leg, several: boolean): void {
    const { amd } = leg;
    if (!amd) return;
    const over = leg.state === "ended";
    this.who.hidden = !several;
    setText(this.who, legName(leg));
    this.element.setAttribute("aria-label", `Who answered: ${legName(leg)}`);
    if (this.drawn?.amd === amd && this.drawn.over === over) return;
    const verdict = currentVerdict(amd);
    if (this.drawn && isNews(this.drawn.amd, amd)) this.newsAt = Date.now();
    this.drawn = { amd, over };
    const { tone, text } = badge(amd, over);
    this.badge.dataset["tone"] = tone;
    this.badge.dataset["verdict"] = verdict?.verdict ?? "";
    this.badge.classList.toggle("amd-listening", !verdict && !over);
    setText(this.badge, text);
    const action = actionText(amd, over);
    setText(this.action, capital(action));
    const human = verdict || over ? undefined : humanNow(amd);
    setText(this.now, human !== undefined ? `person ${human} %` : verdict && this.look === "live" ? `decided ${decidedText(verdict)}` : "");
    this.now.dataset["human"] = String(human !== undefined);
    const correction = correctionText(amd);
    this.correction.hidden = correction === "";
    setText(this.correction, correction);
    this.strip.draw(amd);
    if (this.look === "record") this.drawFacts(amd);
    this.tick();
  }

  tick(): void {
    if (this.look === "record") return;
    const shown = this.wanted ?? this.isNeeded();
    if (this.strip.element.hidden === shown) this.strip.show(shown);
    // While the detection listens there is nothing else to see.
    this.fold.hidden = this.isListening();
    setText(this.foldText, shown ? "Hide sound" : "Show sound");
    this.fold.setAttribute("aria-expanded", String(shown));
  }

  private isListening(): boolean {
    return this.drawn !== undefined && !this.drawn.over && currentVerdict(this.drawn.amd) === undefined;
  }

  private isNeeded(): boolean {
    if (!this.drawn) return false;
    const { amd, over } = this.drawn;
    if (Date.now() - this.newsAt < LINGER_MS) return true;
    const verdict = currentVerdict(amd);
    if (over) return false;
    return verdict === undefined || verdict.action === "reply" || (verdict.action === "message" && amd.message.end === "");
  }

  private drawFacts(amd: Amd): void {
    const groups = factGroups(amd);
    const drawn = JSON.stringify(groups);
    if (drawn === this.factsDrawn) return;
    this.factsDrawn = drawn;
    this.facts.replaceChildren(
      ...groups.flatMap(({ title, facts }) => [
        ...(title === "" ? [] : [h("h3", {}, title)]),
        h(
          "dl",
          {},
          ...facts.map(({ term, texts }) =>
            h("div", {}, h("dt", {}, term), h("dd", {}, ...texts.map((text) => h("span", {}, keepUnits(text))))),
          ),
        ),
      ]),
    );
  }
}

/** Whether the state has a verdict, a correction or the end of a message that it did not have before. */
function isNews(before: Amd, amd: Amd): boolean {
  const sum = ({ verdicts, revised, message }: Amd): string => JSON.stringify([verdicts.length, revised?.decidedAtMs, message.end]);
  return sum(before) !== sum(amd);
}

/** Returns the text with each unit on the line of its number. */
function keepUnits(text: string): string {
  return text.replaceAll(/(\d) (%|s|dB|Hz|semitones)/g, "$1\u00a0$2");
}

/** The strip: level and speech as bars, the probability of a person as a line, and marks with labels. */
class AmdStrip {
  readonly element: HTMLElement;
  private readonly plot = h("div", { class: "amd-plot", role: "img" });
  private readonly svg = document.createElementNS(SVG, "svg");
  private readonly lines = {
    half: path("amd-half"),
    other: path("amd-other"),
    speech: path("amd-speech"),
    halo: path("amd-halo"),
    human: path("amd-human"),
  };
  private readonly spans = h("div", { class: "amd-spans" });
  private readonly marks = h("div", { class: "amd-marks" });
  private readonly axis = h("div", { class: "amd-axis", "aria-hidden": "true" });
  private readonly legend = h(
    "p",
    { class: "amd-legend", "aria-hidden": "true" },
    h("span", { "data-key": "speech" }, "speech"),
    h("span", { "data-key": "other" }, "other sound"),
    h("span", { "data-key": "human" }, "probability of a person"),
  );
  private amd: Amd | undefined;
  private axisDrawn = "";
  private marksDrawn = "";
  private width = 0;

  constructor() {
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.append(...Object.values(this.lines));
    this.plot.append(this.spans, this.svg, this.marks);
    this.element = h("div", { class: "amd-strip" }, this.plot, this.axis, this.legend);
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry?.contentRect.width ?? 0);
      if (width === 0 || width === this.width) return;
      this.width = width;
      if (this.amd) this.paint(this.amd);
    }).observe(this.plot);
  }

  show(shown: boolean): void {
    this.element.hidden = !shown;
    if (shown && this.amd) this.paint(this.amd);
  }

  draw(amd: Amd): void {
    this.amd = amd;
    if (!this.element.hidden) this.paint(amd);
  }

  private paint(amd: Amd): void {
    const drawn = picture(amd);
    const { speech, other, human } = paths(drawn);
    this.lines.speech.setAttribute("d", speech);
    this.lines.other.setAttribute("d", other);
    for (const line of [this.lines.halo, this.lines.human]) line.setAttribute("d", human);
    const heard = drawn.steps.length > 0;
    this.legend.hidden = !heard;
    this.lines.half.setAttribute("d", heard ? `M0 ${HEIGHT / 2}H${WIDTH}` : "");
    this.plot.setAttribute("aria-label", pictureText(amd));
    this.paintAxis(drawn);
    this.paintMarks(drawn);
  }

  private paintAxis(drawn: Picture): void {
    const key = String(drawn.untilMs);
    if (key === this.axisDrawn) return;
    this.axisDrawn = key;
    const times = ticks(drawn);
    this.axis.replaceChildren(
      ...times.map((second, index) => at(h("span", {}, index === times.length - 1 ? `${second} s` : String(second)), second * 1000, drawn)),
    );
  }

  private paintMarks(drawn: Picture): void {
    const width = this.width || 600;
    const key = JSON.stringify([width, drawn.untilMs, drawn.speech, drawn.marks]);
    if (key === this.marksDrawn) return;
    this.marksDrawn = key;
    const placed = places(drawn, width);
    const rows = Math.max(0, ...placed.map(({ row }) => row + 1));
    this.plot.style.paddingTop = `${rows * ROW_PX + 4}px`;
    const span = (kind: string, from: number, to: number, open = false): HTMLElement => {
      const made = at(h("i", { "data-span": kind, "data-open": String(open) }), from, drawn);
      made.style.width = `${(100 * (Math.min(to, drawn.untilMs) - from)) / drawn.untilMs}%`;
      return made;
    };
    this.spans.replaceChildren(
      ...drawn.speech.map(([from, to]) => span("speech", from, to)),
      ...drawn.marks.filter(({ fromMs, toMs }) => toMs > fromMs).map(({ kind, fromMs, toMs, open }) => span(kind, fromMs, toMs, open)),
    );
    this.marks.replaceChildren(
      ...drawn.marks.map((mark, index) => {
        const { row, left } = placed[index] ?? { row: 0, left: false };
        const made = at(
          h(
            "div",
            { class: "amd-mark", "data-mark": mark.kind, "data-tone": mark.tone, "data-left": String(left) },
            h("span", {}, mark.label),
          ),
          mark.fromMs,
          drawn,
        );
        made.style.top = `${row * ROW_PX}px`;
        return made;
      }),
    );
  }
}

/** Moves an element to a time. */
function at<T extends HTMLElement>(element: T, ms: number, { untilMs }: Picture): T {
  element.style.left = `${(100 * ms) / untilMs}%`;
  return element;
}

function path(name: string): SVGPathElement {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", name);
  made.setAttribute("vector-effect", "non-scaling-stroke");
  return made;
}

/** Shows the verdict of a call in a pill, for lines that have no room for the strip. */
export function drawAmdPill(pill: HTMLElement, legs: Legs): void {
  const screened = [...legs.values()].find(({ amd }) => amd !== null);
  pill.hidden = !screened?.amd;
  if (!screened?.amd) return;
  const { amd } = screened;
  const over = screened.state === "ended";
  const { tone, text } = badge(amd, over);
  const action = actionText(amd, over);
  pill.dataset["tone"] = amd.revised ? answerTone(amd.revised.verdict) : tone;
  pill.dataset["verdict"] = currentVerdict(amd)?.verdict ?? "";
  // The call's status says that it is connected.
  const more = amd.revised ? foundText(amd.revised) : action === "connected" ? "" : action;
  setText(pill, [text, more].filter(Boolean).join(": "));
}
