/** Reads the server's JSON without trusting its shape, so that the pages also work with older and newer servers. */

export type Fields = Record<string, unknown>;

/** Returns the members of an object; none for any other value. */
export function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** Returns a string; null for any other value. */
export function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** Returns a finite number; null for any other value. */
export function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Returns the strings of an array. */
export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}

/** Returns the parsed items of the list under `name`, without malformed ones. */
export function listOf<T>(value: unknown, name: string, parse: (one: unknown) => T | undefined): T[] {
  const list = fields(value)[name];
  return Array.isArray(list) ? list.flatMap((one) => parse(one) ?? []) : [];
}

/** One page of a list, and the cursor of the next; null on the last page. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

/** Parses one page of the list under `name`. */
export function pageOf<T>(value: unknown, name: string, parse: (one: unknown) => T | undefined): Page<T> {
  return { items: listOf(value, name, parse), next: text(fields(value)["next_cursor"]) };
}

/** Compares two times. They cannot be compared as text, because the server omits trailing zeros of fractions. */
export function compareTimes(one: string | null, other: string | null): number {
  return (Date.parse(one ?? "") || 0) - (Date.parse(other ?? "") || 0);
}
