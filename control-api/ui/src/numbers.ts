/** What an agent may type into the dial field. */

export type Dialled = { ok: true; target: string } | { ok: false; problem: string };

/**
 * A number (`+44 20 7946 0123`), a short code (`echo`, `100`) or a `sip:` URI, as a SIP target; `domain` completes what
 * has no host of its own.
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

/** Host part of `sip:user@host;params`. */
export function domainOf(sipUri: string): string {
  return /@([^;>\s]+)/.exec(sipUri)?.[1] ?? "";
}

/** A number without the spaces and brackets that people write; addresses stay. */
export function compact(text: string): string {
  const trimmed = text.trim();
  return trimmed.startsWith("+") ? trimmed.replace(/[\s().\-/\u00a0]/g, "") : trimmed;
}
