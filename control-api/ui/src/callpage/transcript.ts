/** The transcript beside its translation: a line per segment, which can be played from the recording and is marked while it plays. */
import { CORRECTIONS_ABOUT, correctionsText, differencesOf } from "../clauses.js";
import { differencesLine, drawDifferences, sourceNodes, targetNodes } from "../clauseview.js";
import { arrange, h, ICON, icon, setText } from "../dom.js";
import { duration, languageName } from "../words.js";
import { type Line, lineAt, matchingSegments, offsetOf, splitMatches } from "./lines.js";

interface Row {
  element: HTMLElement;
  time: HTMLButtonElement;
  source: HTMLElement;
  target: HTMLElement;
  differences: HTMLElement;
  corrected: HTMLElement;
  tag: HTMLElement;
  drawn?: Line;
  words: string;
}

export class TranscriptView {
  readonly element: HTMLElement;
  private readonly list = h("ol", { id: "transcript", class: "transcript", tabindex: 0, "aria-label": "Transcript with translation" });
  private readonly note = h("p", { id: "transcript-note", class: "empty", role: "status" });
  private readonly find = h("input", {
    id: "transcript-find",
    type: "search",
    placeholder: "Find in this call",
    "aria-label": "Find in this call",
  });
  private readonly found = h("span", { class: "muted", role: "status" });
  private readonly heads = h("div", { class: "transcript-heads", "aria-hidden": "true" });
  private readonly rows = new Map<number, Row>();
  private lines: readonly Line[] = [];
  private offsets: (number | null)[] = [];
  private begin: string | null = null;
  private current = -1;
  /** Segments that match the search, and the index of the one that was shown last. */
  private hits: number[] = [];
  private hit = -1;

  /** `words`: initial search; `play`: plays the recording from a position in seconds. */
  constructor(
    words: string,
    private readonly play: (seconds: number) => void,
  ) {
    this.find.value = words;
    this.find.addEventListener("input", () => {
      this.hit = -1;
      this.redraw();
      this.showHit();
    });
    this.find.addEventListener("keydown", ({ key, shiftKey }) => key === "Enter" && this.showHit(shiftKey ? -1 : 1));
    this.element = h(
      "section",
      { class: "card panel", "aria-label": "Transcript" },
      h("div", { class: "panel-head" }, h("h2", {}, "Transcript"), this.found, h("div", { class: "panel-tools" }, this.find)),
      this.heads,
      this.list,
      this.note,
    );
  }

  /** Draws the lines. `begin`: start of the recording, if the user may hear one; `empty`: text for a transcript without lines. */
  draw(lines: readonly Line[], begin: string | null, empty: string): void {
    this.lines = lines;
    this.begin = begin;
    setText(this.note, empty);
    this.redraw();
    // Once, for search words that came with the link.
    if (this.hit < 0 && this.hits.length > 0) this.showHit();
  }

  /** Marks the line at the player's position, in seconds. */
  follow(position: number): void {
    const index = lineAt(this.offsets, position);
    if (index === this.current) return;
    this.current = index;
    for (const [at, line] of this.lines.entries()) this.rows.get(line.segment)?.element.toggleAttribute("data-playing", at === index);
    const line = this.lines[index];
    const element = line && this.rows.get(line.segment)?.element;
    // The list does not scroll away from a user who reads it by keyboard.
    if (element && !this.list.contains(document.activeElement)) this.bring(element);
  }

  /** Scrolls only the list, never the page. */
  private bring(element: HTMLElement): void {
    const [top, room] = [element.offsetTop, this.list.clientHeight];
    if (top < this.list.scrollTop || top + element.clientHeight > this.list.scrollTop + room) this.list.scrollTop = top - room / 3;
  }

  /** Shows the next match; after the last one, the first. */
  private showHit(step = 1): void {
    if (this.hits.length === 0) return;
    this.hit = (this.hit + step + this.hits.length) % this.hits.length;
    const row = this.rows.get(this.hits[this.hit] ?? -1);
    if (row) this.bring(row.element);
  }

  private redraw(): void {
    const words = this.find.value.trim();
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 60 && this.list.scrollTop > 0;
    this.offsets = this.lines.map((line) => offsetOf(line, this.begin));
    this.hits = matchingSegments(this.lines, words);
    arrange(
      this.list,
      this.lines.map((line, index) => this.row(line, this.offsets[index] ?? null, words).element),
    );
    for (const segment of this.rows.keys()) if (!this.lines.some((line) => line.segment === segment)) this.rows.delete(segment);
    const count = this.hits.length;
    setText(this.found, words === "" || this.lines.length === 0 ? "" : count === 1 ? "1 line" : `${count} lines`);
    this.list.hidden = this.lines.length === 0;
    this.note.hidden = this.lines.length > 0;
    this.find.hidden = this.lines.length === 0;
    const first = this.lines.find((line) => line.leg === "customer") ?? this.lines[0];
    this.heads.hidden = this.lines.length === 0 || !first || this.lines.every((line) => line.translation === null);
    this.heads.replaceChildren(h("span", {}, "Original"), h("span", {}, "Translation"));
    this.list.toggleAttribute("data-single", this.heads.hidden);
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  private row(line: Line, offset: number | null, words: string): Row {
    let row = this.rows.get(line.segment);
    if (!row) {
      row = this.build(line);
      this.rows.set(line.segment, row);
    }
    row.time.disabled = offset === null;
    setText(row.time.querySelector("span") ?? row.time, offset === null ? "" : duration(offset * 1000));
    row.time.hidden = offset === null;
    if (offset !== null) {
      row.time.onclick = () => this.play(offset);
      row.time.setAttribute("aria-label", `Play from ${duration(offset * 1000)}`);
    }
    if (row.drawn !== line || row.words !== words) fill(row, line, words);
    return row;
  }

  private build(line: Line): Row {
    const time = h("button", { class: "line-time", type: "button", "data-role": "play" }, icon(ICON.play), h("span", {}));
    const [source, target] = [
      h("p", { class: "source", lang: line.language || null }),
      h("p", { class: "target", lang: line.targetLanguage || null }),
    ];
    const differences = differencesLine();
    const corrected = h("span", {
      class: "corrected muted",
      "data-role": "corrections",
      title: CORRECTIONS_ABOUT,
      hidden: true,
    });
    const tag = h("span", { class: "tag", hidden: true });
    const who = h("span", { class: "who-said" }, line.leg === "agent" ? "Agent" : "Customer");
    if (line.language !== "") who.title = languageName(line.language);
    const element = h(
      "li",
      { class: "line", "data-segment": line.segment, "data-leg": line.leg },
      h("div", { class: "line-who" }, time, who, tag, corrected),
      source,
      target,
      differences,
    );
    return { element, time, source, target, differences, corrected, tag, words: "" };
  }
}

function fill(row: Row, line: Line, words: string): void {
  row.drawn = line;
  row.words = words;
  row.element.dataset["final"] = String(line.final);
  row.element.dataset["unrecognised"] = String(line.unrecognised);
  row.element.dataset["missed"] = String(line.missed);
  if (line.missed) row.source.replaceChildren("(not heard)");
  else if (line.unrecognised) row.source.replaceChildren("Not recognised");
  else if (line.text === "") row.source.replaceChildren("…");
  else row.source.replaceChildren(...sourceNodes(line, (whole) => pieces(whole, words)));
  const languages = { source: line.language, target: line.targetLanguage };
  row.target.replaceChildren(...targetNodes(line, languages, (whole) => pieces(whole, words)));
  drawDifferences(row.differences, differencesOf(line.clauses));
  row.corrected.hidden = line.corrections === 0;
  setText(row.corrected, correctionsText(line.corrections));
  const again = line.source === "recording" || line.version > 1;
  row.tag.hidden = !again;
  setText(row.tag, line.source === "recording" ? "from the recording" : `version ${line.version}`);
  row.tag.title = "Transcribed again after the call";
}

function pieces(whole: string, words: string): (string | Node)[] {
  return splitMatches(whole, words)
    .map((piece, index) => (index % 2 === 1 ? h("mark", {}, piece) : piece))
    .filter((piece) => piece !== "");
}
