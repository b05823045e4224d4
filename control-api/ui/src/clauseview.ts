/** Draws what the clauses of a sentence add to it: unsettled words, the growing translation, marks and warnings. */
import { type Clause, clauseGap, clauseTitle, heardMark, type Piece, showsClauses, splitWords, targetPieces } from "./clauses.js";
import { h, ICON, icon, setNodes } from "./dom.js";

/** What is drawn of a sentence. */
export interface Spoken {
  text: string;
  committed: number;
  final: boolean;
  translation: string | null;
  clauses: readonly Clause[];
}

/** Languages of the text and of its translation; "" if unknown. */
export interface Languages {
  source: string;
  target: string;
}

/** Returns a text as nodes; a page that searches marks the words that were found. */
export type Render = (text: string) => (string | Node)[];

const PLAIN: Render = (text) => [text];

/** Returns the text of a sentence. Words that may still change are in an element of their own. */
export function sourceNodes({ text, committed, final }: Spoken, render = PLAIN): (string | Node)[] {
  if (final) return render(text);
  const [settled, unsettled] = splitWords(text, committed);
  if (unsettled === "") return render(settled);
  return [...render(settled), h("span", { class: "unsettled", title: "These words may still change" }, ...render(unsettled))];
}

/** Returns the translation of a sentence, by clause if it has any, with a mark at each clause that was not heard as voice. */
export function targetNodes({ translation, clauses }: Spoken, languages: Languages, render = PLAIN): (string | Node)[] {
  if (!showsClauses(clauses, translation)) return translation === null ? [] : render(translation);
  const gap = clauseGap(languages.target);
  return targetPieces(clauses).flatMap((piece, index) => [...(index > 0 ? [gap] : []), ...pieceNodes(piece, languages, render)]);
}

function pieceNodes({ clause, text, isOriginal }: Piece, { source }: Languages, render: Render): (string | Node)[] {
  const mark = heardMark(clause.heard);
  const properties = { class: "clause", "data-clause": clause.clause, "data-heard": clause.heard, title: clauseTitle(clause) };
  const piece = h("span", isOriginal ? { ...properties, lang: source || null } : properties, ...render(text));
  return mark ? [piece, " ", h("span", { class: "clause-mark", title: mark.about }, mark.label)] : [piece];
}

/** Draws the warning that names the facts in which source and translation differ; nothing if there are none. */
export function drawDifferences(element: HTMLElement, differences: readonly string[]): void {
  element.hidden = differences.length === 0;
  const facts = separated(differences.map((one) => h("span", { class: "whole" }, one)));
  setNodes(element, [icon(ICON.warning), h("span", {}, h("strong", {}, "The translation differs:"), " ", ...facts)]);
}

function separated(nodes: readonly Node[]): (string | Node)[] {
  return nodes.flatMap((node, index) => (index > 0 ? [", ", node] : [node]));
}

/** Creates the element for `drawDifferences`. */
export function differencesLine(): HTMLElement {
  return h("p", {
    class: "differences",
    "data-role": "differences",
    title: "Numbers, amounts or names are not the same in the original and in the translation",
    hidden: true,
  });
}
