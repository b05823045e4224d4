/** The part of the server's REST API that several pages use. All functions reject with an `ApiError` when the server refuses. */
import { type Call, parseCall, parseCalls } from "./calls.js";
import { ApiError, command, request } from "./http.js";
import { type Ladder, parseLadder } from "./ladder.js";
import { applyLegs, type Legs } from "./legs.js";
import { type ListenerPatch, type Listening, parseListening, type SideName } from "./listening.js";
import { type ProviderState, parseProvider } from "./providers.js";
import { parsePart, parseRecordings, type Recording, singleRecording } from "./recordings.js";
import { parseSession, type Session } from "./session.js";
import { fields, listOf, number, text } from "./shapes.js";
import type { Token } from "./token.js";
import { parseTranslation, type TranslationEvent } from "./translations.js";

export { ApiError, toLogin } from "./http.js";

/** The ways to get an account and to sign in. */
export interface Providers {
  /** Who may sign up: the first user of a new installation, everybody, or invited people only. */
  signup: "first_user" | "open" | "invitation";
  /** Whether the first sign-up needs the code that the server printed in its terminal. */
  signupCode: boolean;
  /** Whether a forgotten password can be reset by mail. */
  passwordReset: boolean;
}

/** Returns the ways to get an account and to sign in. */
export async function providers(): Promise<Providers> {
  const value = fields(await request("GET", "/auth/providers"));
  const signup = text(value["signup"]);
  return {
    signup: signup === "first_user" || signup === "open" ? signup : "invitation",
    signupCode: value["signup_code"] === true,
    passwordReset: value["password_reset"] === true,
  };
}

/** Mails a link for setting a new password, if there is an account with this address. */
export async function passwordForgotten(email: string): Promise<void> {
  await request("POST", "/auth/password-reset", { email });
}

/** Sets a new password with the token from that link. */
export async function passwordReset(token: string, password: string): Promise<void> {
  await request("PUT", "/auth/password-reset", { token, password });
}

/** Signs in and returns the session. `organization`: name of the organization, for members of several. */
export async function login(email: string, password: string, organization = ""): Promise<Session> {
  return parseSession(await request("POST", "/auth/login", { email, password, ...(organization ? { organization } : {}) }));
}

export type Signup =
  | { organization: string; name: string; email: string; password: string; sip_name?: string; code?: string }
  | { invitation: string; name: string; password: string };

/** Creates an account and returns the session. */
export async function signup(account: Signup): Promise<Session> {
  return parseSession(await request("POST", "/auth/signup", account));
}

export interface Invitation {
  organization: string;
  email: string;
  role: string;
  expiresAt: string | null;
}

/** Returns the invitation with this token. */
export async function invitationShow(token: string): Promise<Invitation> {
  const value = fields(await request("POST", "/auth/invitation", { token }));
  const organization = text(value["organization"]) ?? text(fields(value["organization"])["name"]) ?? "";
  return { organization, email: text(value["email"]) ?? "", role: text(value["role"]) ?? "", expiresAt: text(value["expires_at"]) };
}

/** Ends the session. */
export async function logout(): Promise<void> {
  await request("POST", "/auth/logout");
}

/** Returns the current session. */
export async function session(): Promise<Session> {
  return parseSession(await request("GET", "/auth/session"));
}

/** Returns new SIP credentials for the browser's phone. */
export async function webrtcToken(): Promise<Token> {
  return (await request("POST", "/webrtc/token")) as Token;
}

/** Returns the first page of calls, newest first. */
export async function callList(): Promise<Call[]> {
  return parseCalls(await request("GET", "/calls"));
}

/** Returns one call. */
export async function callShow(id: string): Promise<Call> {
  const call = parseCall(await request("GET", `/calls/${encodeURIComponent(id)}`));
  if (!call) throw new ApiError(0, "The server sent an invalid call.");
  return call;
}

/** Returns a call's current legs and its first recording. `known`: returns the legs known when the answer has arrived. */
export async function legList(call: string, known: () => Legs): Promise<{ legs: Legs; recordings: Recording[] }> {
  const value = (await request("GET", `/calls/${encodeURIComponent(call)}`)) as { legs?: unknown[]; recording?: unknown };
  return { legs: applyLegs(value?.legs ?? [], known()), recordings: singleRecording([parsePart(value?.recording, 1, "") ?? []].flat()) };
}

/** Returns a call's current recordings that the user may hear. */
export async function recordingList(call: string): Promise<Recording[]> {
  const path = `/calls/${encodeURIComponent(call)}/recording`;
  return parseRecordings(await request("GET", `${path}s`), `/api${path}`);
}

/** Returns how the sides of a translated call listen. */
export async function listeningShow(call: string): Promise<Listening> {
  return listeningOf(await request("GET", `/calls/${encodeURIComponent(call)}/listening`));
}

/** Changes how one side of a translated call listens; returns how both do. */
export async function listeningUpdate(call: string, side: SideName, patch: ListenerPatch): Promise<Listening> {
  return listeningOf(await command("PATCH", `/calls/${encodeURIComponent(call)}/listening`, { [side]: patch }));
}

function listeningOf(answer: unknown): Listening {
  const listening = parseListening(answer);
  if (!listening) throw new Error("The server did not say how the parties listen.");
  return listening;
}

/** Starts a recording of everybody in a call. */
export async function recordingStart(call: string): Promise<void> {
  await command("POST", `/calls/${encodeURIComponent(call)}/recordings`, {});
}

/** Pauses, resumes or stops a recording. */
export async function recordingAct(call: string, number: number, act: "pause" | "resume" | "stop"): Promise<void> {
  await command("POST", `/calls/${encodeURIComponent(call)}/recordings/${number}/${act}`);
}

/** Returns the slots of the parked calls, by call id. */
export async function parkedSlots(): Promise<Map<string, number>> {
  return new Map(
    listOf(await request("GET", "/parked"), "parked", (one) => {
      const [call, slot] = [text(fields(one)["call_id"]), number(fields(one)["slot"])];
      return call === null || slot === null ? undefined : ([call, slot] as const);
    }),
  );
}

/** What parties hear while they wait and when a supervisor joins. */
export interface CallHandling {
  /** Name of a sound in the media store; null for a soft tone. */
  holdMusic: string | null;
  /** Whether the parties hear a tone when a supervisor has joined. */
  supervisionNotice: boolean;
}

/** Returns the organization's call handling. */
export async function callHandling(): Promise<CallHandling> {
  const value = fields(await request("GET", "/call-handling"));
  return { holdMusic: text(value["hold_music"]), supervisionNotice: value["supervision_notice"] === true };
}

/** Returns a call's SIP messages. `messages`: with their full texts. */
export async function traceShow(call: string, messages: boolean): Promise<Ladder> {
  const ladder = parseLadder(await request("GET", `/calls/${encodeURIComponent(call)}/trace${messages ? "?messages=true" : ""}`));
  if (!ladder) throw new ApiError(0, "The server sent an invalid SIP trace.");
  return ladder;
}

/** Returns a call's sentences with their translations. */
export async function translationList(call: string): Promise<TranslationEvent[]> {
  return listOf(await request("GET", `/calls/${encodeURIComponent(call)}/translations`), "translations", parseTranslation);
}

/** Returns the state of the speech providers. */
export async function providerList(): Promise<ProviderState[]> {
  return listOf(await request("GET", "/providers"), "providers", parseProvider);
}

/** Has a text translated and spoken to the other side of a call. */
export async function say(call: string, text: string): Promise<void> {
  await request("POST", `/calls/${encodeURIComponent(call)}/say`, { text });
}

/** Ends a call for everybody in it. */
export async function hangup(call: string): Promise<void> {
  await request("POST", `/calls/${encodeURIComponent(call)}/hangup`);
}
