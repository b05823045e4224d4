/** The part of the server's REST API that the settings use. All functions reject with an `ApiError` when the server refuses. */

import { parseConfig, type VoiceConfig } from "../calls.js";
import { type Glossary, parseGlossary } from "../glossary.js";
import { ApiError, request, upload } from "../http.js";
import { type Fields, fields, listOf, number, type Page, pageOf, text } from "../shapes.js";
import { type AmdSettings, parseAmdSettings } from "./amd.js";
import * as shapes from "./shapes.js";

const id = encodeURIComponent;

/** Returns a list's path with the cursor of the page. */
function paged(path: string, cursor: string | null): string {
  return cursor === null ? path : `${path}?cursor=${encodeURIComponent(cursor)}`;
}

export async function organizationShow(): Promise<shapes.Organization> {
  return shapes.parseOrganization(await request("GET", "/organizations/current"));
}

export async function organizationRename(name: string): Promise<void> {
  await request("PATCH", "/organizations/current", { name });
}

/** Replaces all limits of the organization. */
export async function limitsPatch(limits: Record<string, number>): Promise<void> {
  await request("PATCH", "/organizations/current", { limits });
}

/** Sets the retention in days; `null` keeps data forever. */
export async function retentionPut(recordingsDays: number | null, eventsDays: number | null): Promise<void> {
  await request("PUT", "/organizations/current/retention", { recordings_days: recordingsDays, events_days: eventsDays });
}

export async function limitList(): Promise<shapes.Limit[]> {
  return listOf(await request("GET", "/usage/limits"), "limits", shapes.parseLimit);
}

/** Returns the usage of the last 30 days. */
export async function usageShow(): Promise<shapes.UsageReport> {
  return shapes.parseUsage(await request("GET", "/usage"));
}

export async function auditList(query: URLSearchParams, cursor: string | null): Promise<Page<shapes.AuditEntry>> {
  const asked = new URLSearchParams(query);
  if (cursor !== null) asked.set("cursor", cursor);
  return pageOf(await request("GET", `/audit-logs?${asked}`), "audit_logs", shapes.parseAuditEntry);
}

/** Checks the log's chain of hashes; returns the result and the number of checked entries. */
export async function auditVerify(): Promise<{ intact: boolean; checked: number }> {
  const value = fields(await request("GET", "/audit-logs/verify"));
  return { intact: value["intact"] === true, checked: number(value["checked"]) ?? 0 };
}

export async function accountRename(name: string): Promise<void> {
  await request("PATCH", "/users/me", { name });
}

export async function passwordChange(current: string, next: string): Promise<void> {
  await request("POST", "/auth/password", { current, new: next });
}

export async function memberList(cursor: string | null): Promise<Page<shapes.Member>> {
  return pageOf(await request("GET", paged("/team/members", cursor)), "members", shapes.parseMember);
}

export async function memberRole(user: string, role: string): Promise<void> {
  await request("PATCH", `/team/members/${id(user)}`, { role });
}

export async function memberRemove(user: string): Promise<void> {
  await request("DELETE", `/team/members/${id(user)}`);
}

export async function invitationList(cursor: string | null): Promise<Page<shapes.Invitation>> {
  return pageOf(await request("GET", paged("/team/invitations", cursor)), "invitations", shapes.parseInvitation);
}

/** An invitation's link, and whether it was sent by mail. */
export interface Invited {
  url: string;
  mailed: boolean;
}

export async function invitationCreate(email: string, role: string): Promise<Invited> {
  const value = fields(await request("POST", "/team/invitations", { email, role }));
  return { url: text(value["url"]) ?? "", mailed: value["mailed"] === true };
}

export async function invitationRevoke(invitation: string): Promise<void> {
  await request("DELETE", `/team/invitations/${id(invitation)}`);
}

export async function permissionList(): Promise<shapes.Permission[]> {
  return listOf(await request("GET", "/rbac/permissions"), "permissions", shapes.parsePermission);
}

export async function roleList(): Promise<shapes.RolePermissions[]> {
  return listOf(await request("GET", "/rbac/roles"), "roles", shapes.parseRole);
}

export async function keyList(cursor: string | null): Promise<Page<shapes.ApiKey>> {
  return pageOf(await request("GET", paged("/api-keys", cursor)), "api_keys", shapes.parseApiKey);
}

/** Creates a key and returns it. The server does not return it again. */
export async function keyCreate(key: { name: string; scopes: string[]; expires_in_days?: number }): Promise<string> {
  return text(fields(await request("POST", "/api-keys", key))["key"]) ?? "";
}

export async function keyRevoke(key: string): Promise<void> {
  await request("DELETE", `/api-keys/${id(key)}`);
}

export async function voiceShow(): Promise<VoiceConfig> {
  return parseConfig(await request("GET", "/voice/config"));
}

/** Changes the given settings only, and returns all of them. */
export async function voicePut(config: Partial<VoiceConfig>): Promise<VoiceConfig> {
  return parseConfig(await request("PUT", "/voice/config", config));
}

export async function glossaryShow(): Promise<Glossary> {
  return parseGlossary(await request("GET", "/glossary"));
}

/** Replaces the glossary, and returns it as it was saved. */
export async function glossaryPut(glossary: Glossary): Promise<Glossary> {
  return parseGlossary(await request("PUT", "/glossary", glossary));
}

/** Returns the settings of the detection of answering machines; `undefined` for a server without it. */
export async function amdShow(): Promise<AmdSettings | undefined> {
  return parseAmdSettings(fields(await request("GET", "/voice/config"))["amd"]);
}

/** Changes the given settings of the detection only, and returns all of them. */
export async function amdPut(patch: Fields): Promise<AmdSettings | undefined> {
  return parseAmdSettings(fields(await request("PUT", "/voice/config", { amd: patch }))["amd"]);
}

export async function capabilityShow(): Promise<Map<string, boolean>> {
  return shapes.parseCapabilities(await request("GET", "/call-capabilities"));
}

export async function capabilityPut(switches: Record<string, boolean>): Promise<void> {
  await request("PUT", "/call-capabilities", switches);
}

export async function numberList(cursor: string | null): Promise<Page<shapes.CallerNumber>> {
  return pageOf(await request("GET", paged("/caller-id/numbers", cursor)), "numbers", shapes.parseNumber);
}

/** Returns all numbers, for choosing one; the server allows some hundreds. */
export async function numberAll(): Promise<shapes.CallerNumber[]> {
  const all: shapes.CallerNumber[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<shapes.CallerNumber> = await numberList(cursor);
    all.push(...page.items);
    cursor = page.next;
  } while (cursor !== null && all.length < 1000);
  return all;
}

export async function numberCreate(made: { number: string; label?: string }): Promise<void> {
  await request("POST", "/caller-id/numbers", made);
}

/** Has the server call the number and speak a code. */
export async function numberCall(known: string): Promise<void> {
  await request("POST", `/caller-id/numbers/${id(known)}/call`);
}

export async function numberCode(known: string, code: string): Promise<void> {
  await request("POST", `/caller-id/numbers/${id(known)}/code`, { code });
}

export async function numberLabel(known: string, label: string): Promise<void> {
  await request("PATCH", `/caller-id/numbers/${id(known)}`, { label });
}

export async function numberRemove(known: string): Promise<void> {
  await request("DELETE", `/caller-id/numbers/${id(known)}`);
}

/** A rule, as the API takes it. `null` matches everything. */
export interface RuleDraft {
  number_id: string;
  position?: number;
  agent: string | null;
  campaign: string | null;
  destination_prefix: string | null;
}

export async function ruleList(cursor: string | null): Promise<Page<shapes.CallerRule>> {
  return pageOf(await request("GET", paged("/caller-id/rules", cursor)), "rules", shapes.parseRule);
}

export async function ruleCreate(rule: RuleDraft): Promise<void> {
  // Conditions that match everything are omitted: that is the default.
  await request("POST", "/caller-id/rules", Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== null)));
}

export async function ruleChange(rule: string, change: RuleDraft): Promise<void> {
  await request("PATCH", `/caller-id/rules/${id(rule)}`, change);
}

export async function ruleRemove(rule: string): Promise<void> {
  await request("DELETE", `/caller-id/rules/${id(rule)}`);
}

export async function targetList(cursor: string | null): Promise<Page<shapes.Target>> {
  return pageOf(await request("GET", paged("/voice/targets", cursor)), "targets", shapes.parseTarget);
}

export async function targetCreate(target: { name: string; address: string }): Promise<void> {
  await request("POST", "/voice/targets", target);
}

export async function targetChange(target: string, change: { name: string; address: string }): Promise<void> {
  await request("PATCH", `/voice/targets/${id(target)}`, change);
}

export async function targetRemove(target: string): Promise<void> {
  await request("DELETE", `/voice/targets/${id(target)}`);
}

export async function soundList(cursor: string | null): Promise<Page<shapes.MediaSound>> {
  return pageOf(await request("GET", paged("/media", cursor)), "media", shapes.parseMediaSound);
}

/** Returns all sounds, for choosing one; the server stores 200 at most. */
export async function soundAll(): Promise<shapes.MediaSound[]> {
  return pageOf(await request("GET", "/media?limit=200"), "media", shapes.parseMediaSound).items;
}

export async function soundCreate(name: string, file: Blob): Promise<void> {
  await upload(`/media?name=${id(name)}`, file, "audio/wav");
}

export async function soundRemove(sound: string): Promise<void> {
  await request("DELETE", `/media/${id(sound)}`);
}

/** Returns the address of a sound's audio. */
export function soundUrl(sound: string): string {
  return `/api/media/${id(sound)}/audio`;
}

/** Changes the call handling. */
export async function handlingPut(change: { hold_music: string | null; supervision_notice: boolean }): Promise<void> {
  await request("PUT", "/call-handling", change);
}

/** Returns the program of a number; `undefined` if it has none. */
export async function programShow(number: string): Promise<shapes.NumberProgram | undefined> {
  try {
    return shapes.parseNumberProgram(await request("GET", `/caller-id/numbers/${id(number)}/program`));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

export async function programPut(number: string, program: Record<string, unknown>): Promise<void> {
  await request("PUT", `/caller-id/numbers/${id(number)}/program`, program);
}

export async function programRemove(number: string): Promise<void> {
  await request("DELETE", `/caller-id/numbers/${id(number)}/program`);
}

/** Key with which requests to program servers are signed. */
export interface ProgramSecret {
  secret: string;
  /** End of the time in which the replaced key signs requests as well; null when there is none. */
  previousUntil: string | null;
}

function programSecretOf(answer: unknown): ProgramSecret {
  const { secret, previous } = fields(answer);
  return { secret: text(secret) ?? "", previousUntil: text(fields(previous)["until"]) };
}

export async function programSecret(): Promise<ProgramSecret> {
  return programSecretOf(await request("GET", "/voice/program-secret"));
}

/** Replaces that key and returns the new one. */
export async function programSecretReplace(): Promise<ProgramSecret> {
  return programSecretOf(await request("POST", "/voice/program-secret"));
}

/** Ends the time in which the replaced key signs requests as well. */
export async function programSecretRevokePrevious(): Promise<void> {
  await request("DELETE", "/voice/program-secret/previous");
}
