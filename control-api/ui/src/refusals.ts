/** What a refusal says to people, and the token that proves a request to be this page's own. */
import { fields, text } from "./shapes.js";

export interface Refusal {
  message: string;
  /** The field of the request that is wrong. */
  field: string | undefined;
  /** The message without the field's name before it. */
  plain: string;
}

/** Reads a problem (RFC 9457); `retryAfter` is the header of that name. */
export function refusal(status: number, body: unknown, retryAfter: string | null): Refusal {
  const problem = fields(body);
  const detail = text(problem["detail"]) ?? text(problem["title"]) ?? `The server answered ${status}`;
  // A capability that is switched off is named in a field of its own.
  const field = text(problem["field"]) ?? text(problem["capability"]) ?? undefined;
  const plain = field !== undefined && detail.startsWith(`${field}: `) ? detail.slice(field.length + 2) : detail;
  const wait = status === 429 && !/again/i.test(detail) ? waitText(retryAfter) : "";
  return { message: sentence(detail) + wait, field, plain: sentence(plain) + wait };
}

function waitText(seconds: string | null): string {
  const wait = Number(seconds ?? "");
  if (!Number.isFinite(wait) || wait <= 0) return " Try again in a while.";
  return wait < 90 ? ` Try again in ${Math.ceil(wait)} s.` : ` Try again in ${Math.ceil(wait / 60)} minutes.`;
}

export function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

/** The value of the cookie that scripts may read, out of `document.cookie`. */
export function csrfToken(cookies: string): string | undefined {
  for (const cookie of cookies.split(";")) {
    const [name, ...value] = cookie.split("=");
    if (name?.trim() === "tandem_csrf" && value.length > 0) return value.join("=").trim() || undefined;
  }
  return undefined;
}

/** Which of a form's fields a refusal means: `config.record` means `record`, `scopes[0]` means `scopes`. */
export function fieldMeant(field: string | undefined, names: readonly string[]): string | undefined {
  if (field === undefined) return undefined;
  if (names.includes(field)) return field;
  const parts = field.split(/[.[\]]+/).filter((part) => part !== "" && !/^\d+$/.test(part));
  return parts.reverse().find((part) => names.includes(part));
}
