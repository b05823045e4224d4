/** Texts of refusals, and the CSRF token, which proves that a request comes from this page. */
import { fields, text } from "./shapes.js";

/** A refusal in words. */
export interface Refusal {
  message: string;
  /** The field of the request that caused the refusal. */
  field: string | undefined;
  /** The message without the leading field name. */
  plain: string;
}

/** Parses a problem (RFC 9457). `retryAfter`: value of the Retry-After header. */
export function refusal(status: number, body: unknown, retryAfter: string | null): Refusal {
  const problem = fields(body);
  const detail = text(problem["detail"]) ?? text(problem["title"]) ?? `The server answered ${status}`;
  // A capability that is switched off is named in its own member, `capability`.
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

/** Returns the text with a capital first letter and a full stop. */
export function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

/** Returns the CSRF token from `document.cookie`. */
export function csrfToken(cookies: string): string | undefined {
  for (const cookie of cookies.split(";")) {
    const [name, ...value] = cookie.split("=");
    if (name?.trim() === "tandem_csrf" && value.length > 0) return value.join("=").trim() || undefined;
  }
  return undefined;
}

/**
 * Returns the form field that a refusal's field refers to: `record` for `config.record`, `scopes` for `scopes[0]`, and of names that are
 * paths the longest one that begins it, such as `a.b` for `a.b[0].c`.
 */
export function fieldMeant(field: string | undefined, names: readonly string[]): string | undefined {
  if (field === undefined) return undefined;
  if (names.includes(field)) return field;
  const paths = names.filter((name) => name.includes(".") && /^[.[]/.test(field.slice(name.length)) && field.startsWith(name));
  if (paths.length > 0) return paths.reduce((a, b) => (b.length > a.length ? b : a));
  const parts = field.split(/[.[\]]+/).filter((part) => part !== "" && !/^\d+$/.test(part));
  return parts.reverse().find((part) => names.includes(part));
}
