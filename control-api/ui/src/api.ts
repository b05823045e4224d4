/** The server's REST interface, as far as the pages use it. */
import type { Call } from "./calls.js";
import { parseLadder, type Ladder } from "./ladder.js";
import { applyLegs, type Legs } from "./legs.js";
import { parseProvider, type ProviderState } from "./providers.js";
import type { Token } from "./token.js";
import { parseTranslation, type TranslationEvent } from "./translations.js";

/** A refusal (RFC 9457); `message` can be shown to people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}

export interface Session {
  email: string;
  name: string;
  organization: string;
  /** SIP user name. */
  sipName: string;
  /** Settings may be changed and messages be read. */
  configures: boolean;
}

async function request(method: string, path: string, body?: unknown): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, "The server does not answer. Check your network, then try again.");
  }
  const text = await response.text();
  const value = parse(text);
  if (response.ok) return value;
  const problem = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const words = problem["detail"] ?? problem["title"] ?? `The server answered ${response.status}.`;
  const field = problem["field"];
  throw new ApiError(response.status, sentence(String(words)), ...(typeof field === "string" ? [field] : []));
}

function parse(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

export async function login(email: string, password: string): Promise<void> {
  await request("POST", "/auth/login", { email, password });
}

export async function logout(): Promise<void> {
  await request("POST", "/auth/logout");
}

export async function session(): Promise<Session> {
  const value = (await request("GET", "/auth/session")) as {
    user?: { email?: string; name?: string; sip_name?: string; role?: string };
    organization?: { name?: string };
  };
  return {
    email: value?.user?.email ?? "",
    name: value?.user?.name ?? value?.user?.email ?? "",
    organization: value?.organization?.name ?? "",
    sipName: value?.user?.sip_name ?? "",
    configures: ["owner", "admin"].includes(value?.user?.role ?? ""),
  };
}

export async function webrtcToken(): Promise<Token> {
  return (await request("GET", "/webrtc/token")) as Token;
}

export async function callList(): Promise<Call[]> {
  return ((await request("GET", "/calls")) as { calls?: Call[] })?.calls ?? [];
}

export async function callShow(id: string): Promise<Call> {
  return (await request("GET", `/calls/${encodeURIComponent(id)}`)) as Call;
}

/** A call's legs as they stand. */
export async function legList(call: string): Promise<Legs> {
  const value = (await request("GET", `/calls/${encodeURIComponent(call)}`)) as { legs?: unknown[] };
  return applyLegs(value?.legs ?? []);
}

/** A call's SIP messages; `messages`: with their texts. */
export async function traceShow(call: string, messages: boolean): Promise<Ladder> {
  const ladder = parseLadder(await request("GET", `/calls/${encodeURIComponent(call)}/trace${messages ? "?messages=true" : ""}`));
  if (!ladder) throw new ApiError(0, "The server told something that is no ladder.");
  return ladder;
}

export async function translationList(call: string): Promise<TranslationEvent[]> {
  const value = (await request("GET", `/calls/${encodeURIComponent(call)}/translations`)) as { translations?: unknown[] };
  return (value?.translations ?? []).flatMap((one) => parseTranslation(one) ?? []);
}

export async function providerList(): Promise<ProviderState[]> {
  const value = (await request("GET", "/providers")) as { providers?: unknown[] };
  return (value?.providers ?? []).flatMap((one) => parseProvider(one) ?? []);
}

export async function say(call: string, text: string): Promise<void> {
  await request("POST", `/calls/${encodeURIComponent(call)}/say`, { text });
}

export async function hangup(call: string): Promise<void> {
  await request("POST", `/calls/${encodeURIComponent(call)}/hangup`);
}

/** To the sign-in page, and back here afterwards. */
export function toLogin(): void {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.hash)}`);
}
