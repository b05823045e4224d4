/** The server's REST interface, as far as the settings use it. */
import { parseConfig, type VoiceConfig } from "../calls.js";
import { ApiError, request, upload } from "../http.js";
import { fields, listOf, number, pageOf, text, type Page } from "../shapes.js";
import * as shapes from "./shapes.js";

const id = encodeURIComponent;

/** A list's path with where to go on. */
function paged(path: string, cursor: string | null): string {
  return cursor === null ? path : `${path}?cursor=${encodeURIComponent(cursor)}`;
}

export async function organizationShow(): Promise<shapes.Organization> {
  return shapes.parseOrganization(await request("GET", "/organizations/current"));
}

export async function organizationRename(name: string): Promise<void> {
  await request("PATCH", "/organizations/current", { name });
}

/** All limits of the organization's own. */
export async function limitsPatch(limits: Record<string, number>): Promise<void> {
  await request("PATCH", "/organizations/current", { limits });
}

/** `null`: for ever. */
export async function retentionPut(recordingsDays: number | null, eventsDays: number | null): Promise<void> {
  await request("PUT", "/organizations/current/retention", { recordings_days: recordingsDays, events_days: eventsDays });
}

export async function limitList(): Promise<shapes.Limit[]> {
  return listOf(await request("GET", "/usage/limits"), "limits", shapes.parseLimit);
}

/** The last 30 days. */
export async function usageShow(): Promise<shapes.UsageReport> {
  return shapes.parseUsage(await request("GET", "/usage"));
}

export async function auditList(query: URLSearchParams, cursor: string | null): Promise<Page<shapes.AuditEntry>> {
  const asked = new URLSearchParams(query);
  if (cursor !== null) asked.set("cursor", cursor);
  return pageOf(await request("GET", `/audit-logs?${asked}`), "audit_logs", shapes.parseAuditEntry);
}

/** Whether the log's chain of hashes is whole. */
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

/** Makes a key; what it returns is shown once and cannot be had again. */
export async function keyCreate(key: { name: string; scopes: string[]; expires_in_days?: number }): Promise<string> {
  return text(fields(await request("POST", "/api-keys", key))["key"]) ?? "";
}

export async function keyRevoke(key: string): Promise<void> {
  await request("DELETE", `/api-keys/${id(key)}`);
}

export async function voiceShow(): Promise<VoiceConfig> {
  return parseConfig(await request("GET", "/voice/config"));
}

/** What is left out stays. */
export async function voicePut(config: Partial<VoiceConfig>): Promise<VoiceConfig> {
  return parseConfig(await request("PUT", "/voice/config", config));
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

/** Every number, for choosing one; some hundreds at most. */
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

/** Has the number called; the call speaks a code. */
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

/** A rule as it is sent. `null`: holds for all. */
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
  // What holds for all is left out: it is the default.
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

/** Every sound, for choosing one; the server keeps 200 at most. */
export async function soundAll(): Promise<shapes.MediaSound[]> {
  return pageOf(await request("GET", "/media?limit=200"), "media", shapes.parseMediaSound).items;
}

export async function soundCreate(name: string, file: Blob): Promise<void> {
  await upload(`/media?name=${id(name)}`, file, "audio/wav");
}

export async function soundRemove(sound: string): Promise<void> {
  await request("DELETE", `/media/${id(sound)}`);
}

export function soundUrl(sound: string): string {
  return `/api/media/${id(sound)}/audio`;
}

/** What is left out stays. */
export async function handlingPut(change: { hold_music: string | null; supervision_notice: boolean }): Promise<void> {
  await request("PUT", "/call-handling", change);
}

/** Nothing: the number has no program. */
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

/** The key with which requests to program servers are signed. */
export async function programSecret(): Promise<string> {
  return text(fields(await request("GET", "/voice/program-secret"))["secret"]) ?? "";
}

export async function programSecretReplace(): Promise<string> {
  return text(fields(await request("POST", "/voice/program-secret"))["secret"]) ?? "";
}
