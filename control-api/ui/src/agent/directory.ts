/** The people and numbers that an agent can call: colleagues with a phone, and the organization's targets. */
import { request } from "../http.js";
import { compact } from "../numbers.js";
import { fields, pageOf, text } from "../shapes.js";
import type { Target } from "./verbs.js";

/** Someone who can be called. */
export interface Entry {
  kind: "colleague" | "target" | "number";
  name: string;
  /** SIP name, number or address. */
  address: string;
}

/** Maximum number of pages that are fetched per list: 1,000 entries each of people and targets. */
const PAGES = 5;
const PAGE = 200;
/** Roles that neither make nor take calls. */
const WITHOUT_TELEPHONE = new Set(["compliance", "viewer"]);
/** Maximum number of matches that are shown. */
export const SHOWN = 8;

/** Returns the request's target for an entry. */
export function targetOf({ kind, address }: Entry): Target {
  return kind === "colleague" ? { agent: address } : { to: address };
}

/**
 * Fetches the directory, colleagues first, without the user (`me`). A list that cannot be fetched is left out; `complete` is then
 * false, and the caller should try again the next time the picker opens.
 */
export async function directoryList(me: string): Promise<{ entries: Entry[]; complete: boolean }> {
  const colleague = (value: unknown): Entry | undefined => {
    const member = fields(value);
    const [address, name] = [text(member["sip_name"]), text(member["name"]) || text(member["email"])];
    if (WITHOUT_TELEPHONE.has(text(member["role"]) ?? "")) return undefined;
    return address && name && address !== me ? { kind: "colleague", name, address } : undefined;
  };
  const target = (value: unknown): Entry | undefined => {
    const [name, address] = [text(fields(value)["name"]), text(fields(value)["address"])];
    return name && address ? { kind: "target", name, address } : undefined;
  };
  const lists = await Promise.allSettled([all("/team/members", "members", colleague), all("/voice/targets", "targets", target)]);
  return {
    entries: lists.flatMap((list) => (list.status === "fulfilled" ? list.value : [])),
    complete: lists.every(({ status }) => status === "fulfilled"),
  };
}

async function all(path: string, name: string, parse: (value: unknown) => Entry | undefined): Promise<Entry[]> {
  const entries: Entry[] = [];
  let next: string | null = null;
  for (let page = 0; page < PAGES; page += 1) {
    const cursor: string = next === null ? "" : `&cursor=${encodeURIComponent(next)}`;
    const found = pageOf(await request("GET", `${path}?limit=${PAGE}${cursor}`), name, parse);
    entries.push(...found.items);
    next = found.next;
    if (next === null) break;
  }
  return entries;
}

/** Returns the entries whose name or address contains every word, best match first; then the query itself if it can be called as typed. */
export function searchEntries(entries: readonly Entry[], query: string): Entry[] {
  const words = plain(query).split(/\s+/).filter(Boolean);
  const score = (entry: Entry): number => {
    const parts = [...plain(entry.name).split(/[\s-]+/), plain(entry.address)];
    const digits = entry.address.replace(/\D/g, "");
    const ranks = words.map((word) => {
      const number = word.replace(/\D/g, "");
      if (parts.some((part) => part === word)) return 3;
      if (parts.some((part) => part.startsWith(word))) return 2;
      return parts.some((part) => part.includes(word)) || (number.length > 2 && digits.includes(number)) ? 1 : 0;
    });
    return ranks.includes(0) ? 0 : ranks.reduce((sum: number, rank) => sum + rank, 1);
  };
  const matching = entries
    .map((entry, at) => ({ entry, at, score: score(entry) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || a.at - b.at)
    .map(({ entry }) => entry);
  const typed = callable(query);
  const known = typed !== undefined && matching.some(({ address }) => address === typed);
  return [...matching.slice(0, SHOWN), ...(typed === undefined || known ? [] : [{ kind: "number" as const, name: typed, address: typed }])];
}

/** Returns the query as a number or SIP address that the server accepts; `undefined` if it is neither. */
function callable(query: string): string | undefined {
  const text = compact(query);
  return /^\+[1-9]\d{2,14}$/.test(text) || /^sips?:[^\s@<>]+@[^\s@<>]+$/i.test(text) || /^\d{2,6}$/.test(text) ? text : undefined;
}

/** Returns the text in lower case, without accents. */
function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().trim();
}
