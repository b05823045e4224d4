/** Short-lived SIP credentials: when to ask again. */

export interface Token {
  username: string;
  password: string;
  expires_at: string;
  ws_url: string;
  sip_uri: string;
  ice_servers: RTCIceServer[];
  /** Credentials for relays, good for so many seconds: shorter than the password. */
  turn?: { ttl: number };
}

/** Milliseconds from now until the next token should be fetched: before password or relay credentials end. */
export function tokenDelay(token: Token, now: number): number {
  const password = refreshDelay(token.expires_at, now);
  return token.turn ? Math.min(password, Math.max(5_000, Math.round(token.turn.ttl * 800))) : password;
}

/** Milliseconds from now until the next token should be fetched: at four fifths of the time left, at least 5 s. */
export function refreshDelay(expiresAt: string | number, now: number): number {
  const end = typeof expiresAt === "number" ? expiresAt * 1000 : Date.parse(expiresAt);
  if (!Number.isFinite(end)) return 60_000;
  // Timers longer than 24 days overflow; an hour is soon enough for any token.
  return Math.min(3_600_000, Math.max(5_000, Math.round((end - now) * 0.8)));
}
