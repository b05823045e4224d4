/**
 * Positions in a JSON text: the first syntax error, or the value at a path such as `steps[3].gather.max_digits`.
 *
 * Pure. Positions are offsets in the text. The grammar is that of RFC 8259; of duplicate fields the last one counts.
 */
export interface Span {
  from: number;
  to: number;
}

type Node = Span & ({ kind: "object"; fields: Map<string, Field> } | { kind: "array"; items: Node[] } | { kind: "other" });

interface Field {
  name: Span;
  value: Node;
}

export interface SyntaxFault {
  at: number;
  message: string;
}

/** Returns the first syntax error of a text; `undefined` if the text is valid JSON. */
export function syntaxFault(text: string): SyntaxFault | undefined {
  const parsed = parse(text);
  return "message" in parsed ? parsed : undefined;
}

/**
 * Returns the position of the value at `path`, or of the innermost existing value around it. If the text is a list, the first word of
 * the path, such as `steps`, stands for the whole text.
 */
export function jsonPlace(text: string, path: string): Span | undefined {
  const root = parse(text);
  if ("message" in root) return undefined;
  const words = path.match(/[^.[\]]+/g) ?? [];
  let node: Node = root;
  let found: Span | undefined;
  words.forEach((word, index) => {
    if (index === 0 && node.kind === "array" && !/^\d+$/.test(word)) return;
    if (found && node.kind === "other") return;
    if (node.kind === "array" && /^\d+$/.test(word)) {
      const item: Node | undefined = node.items[Number(word)];
      if (item) found = node = item;
    } else if (node.kind === "object") {
      const field: Field | undefined = node.fields.get(word);
      if (!field) return;
      node = field.value;
      found = { from: field.name.from, to: node.to };
    }
  });
  return found;
}

/** Returns line and column of an offset, counted from 1. */
export function lineColumn(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at);
  return { line: before.split("\n").length, column: at - before.lastIndexOf("\n") };
}

/** Splits the server's refusal of a program into the path of the field and the expectation; `undefined` if it names no path. */
export function pathOf(problem: string): { path: string; rest: string } | undefined {
  const [, path, rest] = /^([A-Za-z_]\w*(?:\[\d+\]|\.\w+)*):\s*(.*)$/s.exec(problem) ?? [];
  return path === undefined || rest === undefined ? undefined : { path, rest };
}

class Fault extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

/** Maximum depth, which is more than any program may have. */
const DEPTH = 64;

function parse(text: string): Node | SyntaxFault {
  let at = 0;
  const space = (): void => {
    while (/[ \t\r\n]/.test(text.charAt(at))) at += 1;
  };
  const fault = (expected: string): never => {
    const found = at >= text.length ? "the end" : `“${text.charAt(at)}”`;
    throw new Fault(at, `Expected ${expected}, found ${found}`);
  };
  const string = (): { value: string; from: number; to: number } => {
    const from = at;
    at += 1;
    while (text.charAt(at) !== '"') {
      if (at >= text.length || text.charAt(at) < " ") {
        at = from;
        throw new Fault(from, "This text has no closing quotation mark");
      }
      at += text.charAt(at) === "\\" ? 2 : 1;
    }
    at += 1;
    try {
      return { value: JSON.parse(text.slice(from, at)) as string, from, to: at };
    } catch {
      throw new Fault(from, "This text has an invalid escape sequence");
    }
  };
  const value = (depth: number): Node => {
    space();
    const [from, first] = [at, text.charAt(at)];
    if (depth > DEPTH) throw new Fault(at, "Nested too deeply");
    if (first === "{") {
      const fields = new Map<string, Field>();
      at += 1;
      for (space(); text.charAt(at) !== "}"; space()) {
        if (fields.size > 0 && text.charAt(at) !== ",") fault("a comma or “}”");
        if (fields.size > 0) at += 1;
        space();
        if (text.charAt(at) !== '"') fault("a field name in quotation marks");
        const name = string();
        space();
        if (text.charAt(at) !== ":") fault("a colon");
        at += 1;
        fields.set(name.value, { name, value: value(depth + 1) });
      }
      at += 1;
      return { kind: "object", fields, from, to: at };
    }
    if (first === "[") {
      const items: Node[] = [];
      at += 1;
      for (space(); text.charAt(at) !== "]"; space()) {
        if (items.length > 0 && text.charAt(at) !== ",") fault("a comma or “]”");
        if (items.length > 0) at += 1;
        items.push(value(depth + 1));
      }
      at += 1;
      return { kind: "array", items, from, to: at };
    }
    if (first === '"') {
      const { to } = string();
      return { kind: "other", from, to };
    }
    const word = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/.exec(text.slice(at, at + 400))?.[0];
    if (word === undefined) return fault("a value");
    at += word.length;
    return { kind: "other", from, to: at };
  };
  try {
    const root = value(0);
    space();
    if (at < text.length) fault("the end");
    return root;
  } catch (error) {
    if (error instanceof Fault) return { at: error.at, message: error.message };
    throw error;
  }
}
