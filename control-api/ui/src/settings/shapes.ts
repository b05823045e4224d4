/**
 * The objects of an organization's settings, with their parsers and texts.
 *
 *   JSON of the server ─▶ parse… ─▶ object ─▶ …Text ─▶ settings pages
 *
 * Pure. Parsers return `undefined` for a malformed object and defaults for missing fields, so that the pages also work with older and
 * newer servers. Requests are in `requests.ts`.
 */
import { fields, listOf, number, text, texts } from "../shapes.js";

export interface Organization {
  name: string;
  createdAt: string | null;
  /** The organization's own limits, by name. */
  limits: ReadonlyMap<string, number>;
  recordingsDays: number | null;
  eventsDays: number | null;
}

export type Retention = Pick<Organization, "recordingsDays" | "eventsDays">;

/** A shorter retention of up to this number of days needs confirmation, because one digit too few deletes nearly everything. */
const RETENTION_SHORT_DAYS = 7;

/** Returns a warning about what a shorter retention deletes; `undefined` if no confirmation is needed. */
export function retentionWarning(before: Retention, after: Retention): string | undefined {
  const shorter = (was: number | null, will: number | null): will is number =>
    will !== null && will <= RETENTION_SHORT_DAYS && (was === null || will < was);
  const days = (count: number): string => (count === 1 ? "1 day" : `${count} days`);
  const gone = [
    shorter(before.recordingsDays, after.recordingsDays) ? `every recording older than ${days(after.recordingsDays)}` : "",
    shorter(before.eventsDays, after.eventsDays) ? `every event older than ${days(after.eventsDays)}` : "",
  ]
    .filter(Boolean)
    .join(" and ");
  if (gone === "") return undefined;
  return `${gone.charAt(0).toUpperCase()}${gone.slice(1)} will be permanently deleted within hours. This cannot be undone.`;
}

export function parseOrganization(value: unknown): Organization {
  const organization = fields(value);
  const retention = fields(organization["retention"]);
  return {
    name: text(organization["name"]) ?? "",
    createdAt: text(organization["created_at"]),
    limits: new Map(
      Object.entries(fields(organization["limits"])).flatMap(([name, limit]) =>
        number(limit) === null ? [] : [[name, limit as number] as const],
      ),
    ),
    recordingsDays: number(retention["recordings_days"]),
    eventsDays: number(retention["events_days"]),
  };
}

export interface Member {
  id: string;
  email: string;
  name: string;
  role: string;
  sipName: string;
  lastLoginAt: string | null;
}

export function parseMember(value: unknown): Member | undefined {
  const member = fields(value);
  const id = text(member["user_id"]) ?? text(member["id"]);
  if (id === null) return undefined;
  const email = text(member["email"]) ?? "";
  return {
    id,
    email,
    name: text(member["name"]) || email,
    role: text(member["role"]) ?? "",
    sipName: text(member["sip_name"]) ?? "",
    lastLoginAt: text(member["last_login_at"]),
  };
}

export type InvitationState = "open" | "accepted" | "expired" | "revoked";

export interface Invitation {
  id: string;
  email: string;
  role: string;
  invitedBy: string;
  createdAt: string | null;
  expiresAt: string | null;
  state: InvitationState;
}

const INVITATION_STATES: readonly string[] = ["open", "accepted", "expired", "revoked"];

export function parseInvitation(value: unknown): Invitation | undefined {
  const invitation = fields(value);
  const { id, state } = invitation;
  if (typeof id !== "string") return undefined;
  return {
    id,
    email: text(invitation["email"]) ?? "",
    role: text(invitation["role"]) ?? "",
    invitedBy: personName(invitation["invited_by"]),
    createdAt: text(invitation["created_at"]),
    expiresAt: text(invitation["expires_at"]),
    state: typeof state === "string" && INVITATION_STATES.includes(state) ? (state as InvitationState) : "open",
  };
}

/** Returns the name of a person, who may be a string or an object with a name; "" if there is only an id. */
export function personName(value: unknown): string {
  const name = text(value) ?? text(fields(value)["name"]) ?? text(fields(value)["email"]) ?? "";
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(name) ? "" : name;
}

export interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  /** Permissions; empty for everything that keys may do. */
  scopes: string[];
  createdAt: string | null;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

export function parseApiKey(value: unknown): ApiKey | undefined {
  const key = fields(value);
  const id = text(key["id"]);
  if (id === null) return undefined;
  return {
    id,
    name: text(key["name"]) ?? "",
    prefix: text(key["prefix"]) ?? "",
    scopes: texts(key["scopes"]),
    createdAt: text(key["created_at"]),
    expiresAt: text(key["expires_at"]),
    lastUsedAt: text(key["last_used_at"]),
    revokedAt: text(key["revoked_at"]),
  };
}

export type KeyState = "active" | "expired" | "revoked";

/** Returns the state of a key at the time `now`. */
export function keyState(key: ApiKey, now: number): KeyState {
  if (key.revokedAt !== null) return "revoked";
  return key.expiresAt !== null && Date.parse(key.expiresAt) <= now ? "expired" : "active";
}

/** Returns why a key cannot be created without permissions; a key with an empty list would get all of them. */
export function scopesProblem(offered: number, chosen: number): string | undefined {
  if (offered === 0) return "The permissions could not be loaded. Close this and try again.";
  return chosen === 0 ? "Choose at least one permission: a key without any could do nothing." : undefined;
}

export interface Permission {
  permission: string;
  description: string;
}

export function parsePermission(value: unknown): Permission | undefined {
  const permission = text(fields(value)["permission"]);
  return permission === null ? undefined : { permission, description: text(fields(value)["description"]) ?? "" };
}

export interface RolePermissions {
  role: string;
  permissions: string[];
}

export function parseRole(value: unknown): RolePermissions | undefined {
  const role = text(fields(value)["role"]);
  return role === null ? undefined : { role, permissions: texts(fields(value)["permissions"]) };
}

export interface CallerNumber {
  id: string;
  number: string;
  label: string;
  /** Whether the number is proven; only proven numbers take calls and may be shown. */
  proven: boolean;
}

export function parseNumber(value: unknown): CallerNumber | undefined {
  const [id, shown] = [text(fields(value)["id"]), text(fields(value)["number"])];
  return id === null || shown === null
    ? undefined
    : { id, number: shown, label: text(fields(value)["label"]) ?? "", proven: text(fields(value)["proven_at"]) !== null };
}

/** The program for calls to a number. */
export interface NumberProgram {
  /** List of steps; null if a program server supplies them. */
  program: unknown;
  url: string | null;
  fallback: unknown;
}

export type ProgramSource = "none" | "steps" | "server";

export function parseNumberProgram(value: unknown): NumberProgram {
  const told = fields(value);
  return { program: told["program"] ?? null, url: text(told["program_url"]), fallback: told["fallback"] ?? null };
}

/** Returns the request's body; `steps` and `fallback` are JSON texts and must be valid. */
export function programDraft(
  source: ProgramSource,
  { steps, url, fallback }: { steps: string; url: string; fallback: string },
): Record<string, unknown> {
  return {
    ...(source === "steps" ? { program: JSON.parse(steps) as unknown } : { program_url: url }),
    ...(fallback.trim() === "" ? {} : { fallback: JSON.parse(fallback) as unknown }),
  };
}

/** Formats steps as people write them, with one line for each step that fits. */
export function programText(steps: unknown): string {
  if (!Array.isArray(steps)) return JSON.stringify(steps, null, 2);
  const lines = steps.map((step) => {
    const short = JSON.stringify(step, null, 1)
      .replace(/\n\s*/g, " ")
      .replace(/\{ /g, "{")
      .replace(/ \}/g, "}")
      .replace(/\[ /g, "[")
      .replace(/ \]/g, "]");
    return short.length <= 110 && isSame(short, step) ? `  ${short}` : JSON.stringify(step, null, 2).replace(/^/gm, "  ");
  });
  return steps.length === 0 ? "[]" : `[\n${lines.join(",\n")}\n]`;
}

/** Whether the formatted text still has the same value; formatting could change strings with brackets or line ends. */
function isSame(written: string, value: unknown): boolean {
  try {
    return JSON.stringify(JSON.parse(written)) === JSON.stringify(value);
  } catch {
    return false;
  }
}

export interface CallerRule {
  id: string;
  position: number;
  numberId: string;
  number: string;
  agent: string;
  campaign: string;
  prefix: string;
}

export function parseRule(value: unknown): CallerRule | undefined {
  const rule = fields(value);
  const id = text(rule["id"]);
  if (id === null) return undefined;
  return {
    id,
    position: number(rule["position"]) ?? 0,
    numberId: text(rule["number_id"]) ?? "",
    number: text(rule["number"]) ?? "",
    agent: text(rule["agent"]) ?? "",
    campaign: text(rule["campaign"]) ?? "",
    prefix: text(rule["destination_prefix"]) ?? "",
  };
}

/** Returns the conditions of a rule in words. */
export function ruleText(rule: Pick<CallerRule, "agent" | "campaign" | "prefix">): string {
  const who = [rule.agent ? `agent ${rule.agent}` : "", rule.campaign ? `campaign ${rule.campaign}` : ""].filter(Boolean).join(" in ");
  return `${who === "" ? "Everybody" : who.charAt(0).toUpperCase() + who.slice(1)}, to ${rule.prefix ? `numbers that begin with ${rule.prefix}` : "any number"}`;
}

export interface Target {
  id: string;
  name: string;
  address: string;
}

export function parseTarget(value: unknown): Target | undefined {
  const [id, name] = [text(fields(value)["id"]), text(fields(value)["name"])];
  return id === null || name === null ? undefined : { id, name, address: text(fields(value)["address"]) ?? "" };
}

/** A sound in the media store. */
export interface MediaSound {
  id: string;
  name: string;
  durationMs: number;
  sizeBytes: number;
  createdAt: string | null;
}

export function parseMediaSound(value: unknown): MediaSound | undefined {
  const sound = fields(value);
  const [id, name] = [text(sound["id"]), text(sound["name"])];
  if (id === null || name === null) return undefined;
  return {
    id,
    name,
    durationMs: number(sound["duration_ms"]) ?? 0,
    sizeBytes: number(sound["size_bytes"]) ?? 0,
    createdAt: text(sound["created_at"]),
  };
}

/** Returns the options for choosing a sound by name, including a removed one while it is chosen. */
export function musicOptions(
  sounds: readonly MediaSound[],
  chosen: string | null,
  length: (ms: number) => string,
): (readonly [name: string, label: string])[] {
  const known = sounds.map(({ name, durationMs }) => [name, `${name} (${length(durationMs)})`] as const);
  return chosen === null || sounds.some(({ name }) => name === chosen) ? known : [...known, [chosen, `${chosen} (removed)`]];
}

/** Maximum size of a file in the media store, in bytes. */
export const SOUND_BYTES_MAX = 10 * 1024 * 1024;

/** Returns why a file cannot be added to the media store; `undefined` if the page finds no problem before sending it. */
export function soundProblem(file: { name: string; size: number } | undefined): string | undefined {
  if (!file) return "Choose a WAV file.";
  if (!/\.wave?$/i.test(file.name)) return "Only WAV files can be added.";
  return file.size > SOUND_BYTES_MAX
    ? `This file is too large: ${sizeText(file.size)}. The limit is ${sizeText(SOUND_BYTES_MAX)}.`
    : undefined;
}

/** Returns a suggested name for a sound, from its file name. */
export function soundName(file: string): string {
  return file
    .replace(/\.[^.]*$/, "")
    .replaceAll(/[_\s]+/g, " ")
    .trim()
    .slice(0, 100);
}

/** Formats a size, such as `640 KB` or `1.2 MB`. */
export function sizeText(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.max(1, Math.round(bytes / 1024))} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

export interface Capability {
  name: string;
  label: string;
  about: string;
}

/** The capabilities of an organization, in the order of the page. */
export const CAPABILITIES: readonly Capability[] = [
  { name: "record", label: "Record calls", about: "Calls may be recorded, each side on its own channel." },
  { name: "transcribe", label: "Transcribe", about: "Words may be recognised and kept." },
  { name: "translate", label: "Translate", about: "Recognised words may be translated, live on the page." },
  { name: "voice_to_voice", label: "Voice to voice", about: "Translations may be spoken to the other side." },
  { name: "amd", label: "Answering machine detection", about: "Calls to customers may be screened for voicemail, menus and tones." },
  { name: "transfer", label: "Transfer", about: "Calls may be transferred to others." },
  { name: "conference", label: "Conference", about: "More than two parties may talk with each other." },
  { name: "api_dialing", label: "Dialling by API", about: "Programs with an API key may start calls." },
];

/** Returns the capabilities that the server reports; others are not shown. */
export function parseCapabilities(value: unknown): Map<string, boolean> {
  const told = fields(value);
  return new Map(CAPABILITIES.flatMap(({ name }) => (typeof told[name] === "boolean" ? [[name, told[name]] as const] : [])));
}

export interface Limit {
  name: string;
  /** Requests per window; `null` for no limit. */
  limit: number | null;
  windowS: number;
  remaining: number | null;
  resetS: number | null;
}

export function parseLimit(value: unknown): Limit | undefined {
  const limit = fields(value);
  const name = text(limit["name"]);
  if (name === null) return undefined;
  return {
    name,
    limit: number(limit["limit"]),
    windowS: number(limit["window_s"]) ?? 60,
    remaining: number(limit["remaining"]),
    resetS: number(limit["reset_s"]),
  };
}

/** Formats a limit, such as `600 a minute` or `20 in 5 minutes`. */
export function limitText({ limit, windowS }: Pick<Limit, "limit" | "windowS">): string {
  if (limit === null) return "No limit";
  return `${limit.toLocaleString("en")} ${windowText(windowS)}`;
}

/** Formats a limit's window, such as `a minute` or `in 5 minutes`. */
export function windowText(windowS: number): string {
  const single: Record<number, string> = { 1: "a second", 60: "a minute", 3600: "an hour" };
  return single[windowS] ?? (windowS % 60 === 0 ? `in ${windowS / 60} minutes` : `in ${windowS} s`);
}

/** Names of the server's limits, in its order. */
export const LIMITS: Record<string, string> = {
  default: "Requests",
  calls: "Calls started",
  speech: "Speech on demand",
  configuration: "Changes of settings",
  retention: "Changes of retention",
};

/** Returns the roles that have a permission in the server's table, such as `Owners and admins`; "" if there are none. */
export function rolesText(roles: readonly RolePermissions[], permission: string): string {
  const names = roles
    .filter(({ permissions }) => permissions.includes(permission))
    .map(({ role }) => (role === "compliance" ? "compliance officers" : `${role}s`));
  const all = names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
  return all.charAt(0).toUpperCase() + all.slice(1);
}

export interface Usage {
  /** Date; empty for the total of all days. */
  day: string;
  inbound: number;
  outbound: number;
  callSeconds: number;
  recordedSeconds: number;
  translated: number;
}

export interface UsageReport {
  /** Newest first. */
  days: Usage[];
  total: Usage;
}

export function parseUsage(value: unknown): UsageReport {
  const one = (told: unknown): Usage => {
    const of = (name: string): number => number(fields(told)[name]) ?? 0;
    return {
      day: text(fields(told)["day"]) ?? "",
      inbound: of("calls_inbound"),
      outbound: of("calls_outbound"),
      callSeconds: of("call_seconds"),
      recordedSeconds: of("recorded_seconds"),
      translated: of("segments_translated"),
    };
  };
  const days = listOf(value, "days", one).filter(({ day }) => day !== "");
  return { days: days.sort((a, b) => b.day.localeCompare(a.day)), total: one(fields(value)["total"]) };
}

export interface AuditEntry {
  id: string;
  at: string | null;
  kind: string;
  actor: string;
  address: string;
  action: string;
  target: string;
  changes: string[];
}

export function parseAuditEntry(value: unknown): AuditEntry | undefined {
  const entry = fields(value);
  const [id, action] = [text(entry["id"]), text(entry["action"])];
  if (id === null || action === null) return undefined;
  const actor = fields(entry["actor"]);
  return {
    id,
    action,
    at: text(entry["at"]),
    kind: text(actor["kind"]) ?? "",
    actor: text(actor["name"]) ?? "",
    address: text(entry["address"]) ?? "",
    target: text(entry["target"]) ?? "",
    changes: changes(entry["before"], entry["after"]),
  };
}

/** Fields that are not shown as changes, because the entry itself has them. */
const TOLD: readonly string[] = ["id", "created_at", "updated_at"];

/** Returns the changes of an entry, field by field, such as `role: agent → admin`. */
export function changes(before: unknown, after: unknown): string[] {
  const word = (value: unknown): string =>
    typeof value === "string" ? value : Array.isArray(value) ? value.map(word).join(", ") : JSON.stringify(value ?? null);
  const plain = [before, after].every(
    (value) => value === null || value === undefined || (typeof value === "object" && !Array.isArray(value)),
  );
  if (!plain)
    return [
      [before, after]
        .filter((value) => value !== null && value !== undefined)
        .map(word)
        .join(" → "),
    ];
  const [old, now] = [fields(before), fields(after)];
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((name) => !TOLD.includes(name))
    .flatMap((name) => {
      const [from, to] = [old[name], now[name]];
      if (JSON.stringify(from) === JSON.stringify(to)) return [];
      if (from === undefined || from === null) return [`${name}: ${word(to)}`];
      return [`${name}: ${word(from)} → ${to === undefined || to === null ? "none" : word(to)}`];
    });
}
