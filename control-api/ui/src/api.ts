/** The server's REST interface, as far as the pages use it. */
import { parseCall, parseCalls, type Call } from "./calls.js";
import { ApiError, command, request } from "./http.js";
import { parseLadder, type Ladder } from "./ladder.js";
import { applyLegs, type Legs } from "./legs.js";
import { parseProvider, type ProviderState } from "./providers.js";
import { parsePart, parseRecordings, singleRecording, type Recording } from "./recordings.js";
import { parseSession, type Session } from "./session.js";
import { fields, listOf, number, text } from "./shapes.js";
import type { Token } from "./token.js";
import { parseTranslation, type TranslationEvent } from "./translations.js";

export { ApiError, toLogin } from "./http.js";

/** Ways in. */
export interface Providers {
  /** Who may sign up: the first user of a fresh installation, everybody, or whoever was invited. */
  signup: "first_user" | "open" | "invitation";
  /** Whether the first sign-up needs the code that the server's terminal printed. */
  signupCode: boolean;
  /** Whether a forgotten password can be set anew by mail. */
  passwordReset: boolean;
}

export async function providers(): Promise<Providers> {
  const value = fields(await request("GET", "/auth/providers"));
  const signup = text(value["signup"]);
  return {
    signup: signup === "first_user" || signup === "open" ? signup : "invitation",
    signupCode: value["signup_code"] === true,
    passwordReset: value["password_reset"] === true,
  };
}

/** Mails a link that sets a new password, if there is such an account. */
export async function passwordForgotten(email: string): Promise<void> {
  await request("POST", "/auth/password-reset", { email });
}

/** Sets a new password by the token of such a link. */
export async function passwordReset(token: string, password: string): Promise<void> {
  await request("PUT", "/auth/password-reset", { token, password });
}

/** `organization`: its name, for those who belong to several. */
export async function login(email: string, password: string, organization = ""): Promise<Session> {
  return parseSession(await request("POST", "/auth/login", { email, password, ...(organization ? { organization } : {}) }));
}

export type Signup =
  | { organization: string; name: string; email: string; password: string; sip_name?: string; code?: string }
  | { invitation: string; name: string; password: string };

export async function signup(account: Signup): Promise<Session> {
  return parseSession(await request("POST", "/auth/signup", account));
}

export interface Invitation {
  organization: string;
  email: string;
  role: string;
  expiresAt: string | null;
}

/** What an invitation's token stands for. */
export async function invitationShow(token: string): Promise<Invitation> {
  const value = fields(await request("POST", "/auth/invitation", { token }));
  const organization = text(value["organization"]) ?? text(fields(value["organization"])["name"]) ?? "";
  return { organization, email: text(value["email"]) ?? "", role: text(value["role"]) ?? "", expiresAt: text(value["expires_at"]) };
}

export async function logout(): Promise<void> {
  await request("POST", "/auth/logout");
}

export async function session(): Promise<Session> {
  return parseSession(await request("GET", "/auth/session"));
}

export async function webrtcToken(): Promise<Token> {
  return (await request("POST", "/webrtc/token")) as Token;
}

export async function callList(): Promise<Call[]> {
  return parseCalls(await request("GET", "/calls"));
}

export async function callShow(id: string): Promise<Call> {
  const call = parseCall(await request("GET", `/calls/${encodeURIComponent(id)}`));
  if (!call) throw new ApiError(0, "The server told something that is no call.");
  return call;
}

/** A call's legs as they stand, and its first recording. */
export async function legList(call: string): Promise<{ legs: Legs; recordings: Recording[] }> {
  const value = (await request("GET", `/calls/${encodeURIComponent(call)}`)) as { legs?: unknown[]; recording?: unknown };
  return { legs: applyLegs(value?.legs ?? []), recordings: singleRecording([parsePart(value?.recording, 1, "") ?? []].flat()) };
}

/** A call's recordings as they stand: those that may be heard. */
export async function recordingList(call: string): Promise<Recording[]> {
  const path = `/calls/${encodeURIComponent(call)}/recording`;
  return parseRecordings(await request("GET", `${path}s`), `/api${path}`);
}

/** Records everybody in a call. */
export async function recordingStart(call: string): Promise<void> {
  await command("POST", `/calls/${encodeURIComponent(call)}/recordings`, {});
}

export async function recordingAct(call: string, number: number, act: "pause" | "resume" | "stop"): Promise<void> {
  await command("POST", `/calls/${encodeURIComponent(call)}/recordings/${number}/${act}`);
}

/** The slots of parked calls, by call. */
export async function parkedSlots(): Promise<Map<string, number>> {
  return new Map(listOf(await request("GET", "/parked"), "parked", (one) => {
    const [call, slot] = [text(fields(one)["call_id"]), number(fields(one)["slot"])];
    return call === null || slot === null ? undefined : ([call, slot] as const);
  }));
}

/** What parties hear while they wait, and whether they hear that they are supervised. */
export interface CallHandling {
  /** The name of a sound of the media store; null: a soft tone. */
  holdMusic: string | null;
  /** A tone tells the parties that a supervisor has joined. */
  supervisionNotice: boolean;
}

export async function callHandling(): Promise<CallHandling> {
  const value = fields(await request("GET", "/call-handling"));
  return { holdMusic: text(value["hold_music"]), supervisionNotice: value["supervision_notice"] === true };
}

/** A call's SIP messages; `messages`: with their texts. */
export async function traceShow(call: string, messages: boolean): Promise<Ladder> {
  const ladder = parseLadder(await request("GET", `/calls/${encodeURIComponent(call)}/trace${messages ? "?messages=true" : ""}`));
  if (!ladder) throw new ApiError(0, "The server told something that is no ladder.");
  return ladder;
}

export async function translationList(call: string): Promise<TranslationEvent[]> {
  return listOf(await request("GET", `/calls/${encodeURIComponent(call)}/translations`), "translations", parseTranslation);
}

export async function providerList(): Promise<ProviderState[]> {
  return listOf(await request("GET", "/providers"), "providers", parseProvider);
}

export async function say(call: string, text: string): Promise<void> {
  await request("POST", `/calls/${encodeURIComponent(call)}/say`, { text });
}

export async function hangup(call: string): Promise<void> {
  await request("POST", `/calls/${encodeURIComponent(call)}/hangup`);
}
