/**
 * The filters of the call list, and their conversion between the form, the page's address and the server's query.
 *
 *   form ─▶ Filters ─▶ ?q=order&when=7d     (address: can be saved and shared)
 *                  └─▶ ?q=order&from=2026-…  (query: exact times, in UTC)
 */

export interface Filters {
  /** Words in the transcript or its translation. */
  q: string;
  when: When;
  /** First and last day (`to`), `YYYY-MM-DD`, if `when` is `between`. */
  from: string;
  to: string;
  agent: string;
  number: string;
  outcome: string;
  status: string;
  direction: string;
}

export type When = "" | "today" | "yesterday" | "7d" | "30d" | "between";

export const NO_FILTERS: Filters = { q: "", when: "", from: "", to: "", agent: "", number: "", outcome: "", status: "", direction: "" };

export const WHEN: readonly (readonly [When, string])[] = [
  ["", "Any time"],
  ["today", "Today"],
  ["yesterday", "Yesterday"],
  ["7d", "Last 7 days"],
  ["30d", "Last 30 days"],
  ["between", "Between two days"],
];
export const STATUS: readonly (readonly [string, string])[] = [
  ["", "Any"],
  ["queued", "Queued"],
  ["ringing", "Ringing"],
  ["answered", "Answered"],
  ["bridged", "Connected"],
  ["ended", "Ended"],
  ["failed", "Failed"],
];
export const DIRECTION: readonly (readonly [string, string])[] = [
  ["", "Both"],
  ["inbound", "Inbound"],
  ["outbound", "Outbound"],
];

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const PLAIN = ["agent", "outcome", "status", "direction"] as const;

/** Parses the query of the page's address; unknown values are ignored. */
export function parseFilters(search: string): Filters {
  const query = new URLSearchParams(search);
  const word = (name: string): string => (query.get(name) ?? "").trim().slice(0, 200);
  const known = (name: string, list: readonly (readonly [string, string])[]): string =>
    list.some(([value]) => value === word(name)) ? word(name) : "";
  const day = (name: string): string => (DAY.test(word(name)) ? word(name) : "");
  const [from, to] = [day("from"), day("to")];
  const when = known("when", WHEN) as When;
  return {
    q: word("q"),
    when: when === "" && (from !== "" || to !== "") ? "between" : when,
    from,
    to,
    agent: word("agent"),
    number: word("number"),
    outcome: word("outcome"),
    status: known("status", STATUS),
    direction: known("direction", DIRECTION),
  };
}

/** Returns the filters as the query of an address, with only those that are set. */
export function addressOf(filters: Filters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    const days = name === "from" || name === "to";
    if (value !== "" && (!days || filters.when === "between")) query.set(name, value as string);
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

/** Returns the server's query, without cursor and format. `now` determines "today", in the user's time zone. */
export function queryOf(filters: Filters, now: Date): URLSearchParams {
  const query = new URLSearchParams();
  const set = (name: string, value: string | undefined): void => {
    if (value) query.set(name, value);
  };
  set("q", filters.q);
  set("number", filters.number.replace(/[\s().\-/\u00a0]/g, ""));
  for (const name of PLAIN) set(name, filters[name]);
  const { from, to } = span(filters, now);
  set("from", from?.toISOString());
  set("to", to?.toISOString());
  return query;
}

/** Returns the start of the first day and the start of the day after the last. */
function span(filters: Filters, now: Date): { from?: Date | undefined; to?: Date | undefined } {
  const day = (offset: number): Date => new Date(now.getFullYear(), now.getMonth(), now.getDate() + offset);
  switch (filters.when) {
    case "today":
      return { from: day(0) };
    case "yesterday":
      return { from: day(-1), to: day(0) };
    case "7d":
      return { from: day(-6) };
    case "30d":
      return { from: day(-29) };
    case "between":
      return { from: dayStart(filters.from, 0), to: dayStart(filters.to, 1) };
    default:
      return {};
  }
}

function dayStart(day: string, offset: number): Date | undefined {
  if (!DAY.test(day)) return undefined;
  const [year, month, date] = day.split("-").map(Number) as [number, number, number];
  const start = new Date(year, month - 1, date + offset);
  return Number.isNaN(start.getTime()) ? undefined : start;
}

/** Returns the number of filters that are set, without the search. */
export function filterCount(filters: Filters): number {
  return [filters.when, filters.agent, filters.number, filters.outcome, filters.status, filters.direction].filter((value) => value !== "")
    .length;
}
