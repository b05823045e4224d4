/** Reads what the server tells, without trusting its shape: a page of an older or newer server must not fall over. */

export type Fields = Record<string, unknown>;

export function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

export function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}

/** The list under `name`; what cannot be read is left out. */
export function listOf<T>(value: unknown, name: string, parse: (one: unknown) => T | undefined): T[] {
  const list = fields(value)[name];
  return Array.isArray(list) ? list.flatMap((one) => parse(one) ?? []) : [];
}

/** One page of a list, and where the next begins. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

export function pageOf<T>(value: unknown, name: string, parse: (one: unknown) => T | undefined): Page<T> {
  return { items: listOf(value, name, parse), next: text(fields(value)["next_cursor"]) };
}

/** The order of two times. As text they have none: the server leaves out what ends a fraction in zeros. */
export function compareTimes(one: string | null, other: string | null): number {
  return (Date.parse(one ?? "") || 0) - (Date.parse(other ?? "") || 0);
}
