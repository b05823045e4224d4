/** Parsing of numbers and addresses that users type. */

/** A SIP target, or why the text is not one. */
export type Dialled = { ok: true; target: string } | { ok: false; problem: string };

/**
 * Converts a number (`+44 20 7946 0123`), a short code (`echo`, `100`) or a `sip:` URI to a SIP target. `domain` is the host for texts
 * without one.
 */
export function dialTarget(text: string, domain: string): Dialled {
  const trimmed = text.trim();
  if (trimmed === "") return { ok: false, problem: "Type a number first." };
  if (/^sips?:/i.test(trimmed)) {
    return /^sips?:[^\s@<>]+@[^\s@<>]+$/i.test(trimmed)
      ? { ok: true, target: trimmed }
      : { ok: false, problem: "A SIP address looks like sip:name@host." };
  }
  const digits = trimmed.replace(/[\s().\-/\u00a0]/g, "");
  if (digits.startsWith("+")) {
    return /^\+[1-9]\d{1,14}$/.test(digits)
      ? { ok: true, target: `sip:${digits}@${domain}` }
      : { ok: false, problem: "A number starts with + and the country code, then up to 15 digits." };
  }
  return /^[A-Za-z0-9_*#]{1,32}$/.test(digits)
    ? { ok: true, target: `sip:${encodeURIComponent(digits)}@${domain}` }
    : { ok: false, problem: "Type a number such as +44 20 7946 0123, a short code, or a SIP address." };
}

/** Returns the host part of `sip:user@host;params`; "" if there is none. */
export function domainOf(sipUri: string): string {
  return /@([^;>\s]+)/.exec(sipUri)?.[1] ?? "";
}

/** Returns a number without spaces and brackets; other texts are only trimmed. */
export function compact(text: string): string {
  const trimmed = text.trim();
  return trimmed.startsWith("+") ? trimmed.replace(/[\s().\-/\u00a0]/g, "") : trimmed;
}
