/** Short-lived SIP credentials, and when to fetch new ones. */

/** The credentials, as the API sends them. */
export interface Token {
  username: string;
  password: string;
  expires_at: string;
  ws_url: string;
  sip_uri: string;
  ice_servers: RTCIceServer[];
  /** Lifetime of the relay credentials in seconds; shorter than that of the password. */
  turn?: { ttl: number };
}

/** Returns the time until the next token must be fetched, in ms: before the password or the relay credentials expire. */
export function tokenDelay(token: Token, now: number): number {
  const password = refreshDelay(token.expires_at, now);
  return token.turn ? Math.min(password, Math.max(5_000, Math.round(token.turn.ttl * 800))) : password;
}

/** Returns the time until the next token must be fetched, in ms: four fifths of the remaining time, at least 5 s. */
export function refreshDelay(expiresAt: string | number, now: number): number {
  const end = typeof expiresAt === "number" ? expiresAt * 1000 : Date.parse(expiresAt);
  if (!Number.isFinite(end)) return 60_000;
  // Timers longer than 24 days overflow; an hour is soon enough for any token.
  return Math.min(3_600_000, Math.max(5_000, Math.round((end - now) * 0.8)));
}
