/**
 * An organization's glossary as text: a term and its translation in each line.
 *
 *   en: smart meter = es: contador inteligente   ◀─▶   { from: "en", source: "smart meter", to: "es", target: "contador inteligente" }
 */
import { fields, listOf, text } from "./shapes.js";

/** A term in two languages. */
export interface Term {
  from: string;
  source: string;
  to: string;
  target: string;
}

/** A glossary, as the API sends it. */
export interface Glossary {
  terms: Term[];
  names: string[];
}

/** A line that is not a term. */
export class LineProblem extends Error {}

const LINE = /^([A-Za-z][\w-]*)\s*:\s*(\S.*?)\s*=\s*([A-Za-z][\w-]*)\s*:\s*(\S.*)$/;

export function parseGlossary(value: unknown): Glossary {
  const told = fields(value);
  const names = listOf(told, "names", (name) => (typeof name === "string" ? name : undefined));
  return { terms: listOf(told, "terms", parseTerm), names };
}

function parseTerm(value: unknown): Term | undefined {
  const told = fields(value);
  const [from, source, to, target] = ["from", "source", "to", "target"].map((name) => text(told[name]));
  return from && source && to && target ? { from, source, to, target } : undefined;
}

/** Returns the terms as lines. */
export function termLines(terms: readonly Term[]): string {
  return terms.map(({ from, source, to, target }) => `${from}: ${source} = ${to}: ${target}`).join("\n");
}

/** Returns the terms of lines; empty lines are left out. Throws `LineProblem`, which names the line. */
export function readTerms(lines: string): Term[] {
  return lines.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    const [, from, source, to, target] = LINE.exec(line.trim()) ?? [];
    if (!from || !source || !to || !target)
      throw new LineProblem(`Line ${index + 1}: expected a term like "en: smart meter = es: contador inteligente".`);
    return [{ from, source, to, target }];
  });
}

/** Returns the names of lines; empty lines are left out. */
export function readNames(lines: string): string[] {
  return lines.split("\n").flatMap((line) => line.trim() || []);
}
