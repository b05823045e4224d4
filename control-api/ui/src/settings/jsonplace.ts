/**
 * Where something stands in a JSON text: the first fault of its syntax, or the value that a path such as `steps[3].gather.max_digits` names.
 *
 * Pure. Places are offsets in the text. The grammar is that of RFC 8259; of a field that is there twice the last one counts.
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

/** The first fault of a text's syntax; nothing: it is JSON. */
export function syntaxFault(text: string): SyntaxFault | undefined {
  const parsed = parse(text);
  return "message" in parsed ? parsed : undefined;
}

/**
 * The place of the value that `path` names, or of the innermost value around it that exists. The first word of a path, such as `steps`,
 * stands for the whole when the text is a list.
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

/** Line and column, from 1. */
export function lineColumn(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at);
  return { line: before.split("\n").length, column: at - before.lastIndexOf("\n") };
}

/** What a refusal of the server says of a program: the path of the field, and what was expected there. */
export function pathOf(problem: string): { path: string; rest: string } | undefined {
  const [, path, rest] = /^([A-Za-z_]\w*(?:\[\d+\]|\.\w+)*):\s*(.*)$/s.exec(problem) ?? [];
  return path === undefined || rest === undefined ? undefined : { path, rest };
}

class Fault extends Error {
  constructor(readonly at: number, message: string) {
    super(message);
  }
}

/** Deeper than any program may be. */
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
      throw new Fault(from, "This text has a wrong escape sequence");
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
