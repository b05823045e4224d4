/** Requests to the server's REST API, and its refusals. */
import { csrfToken, refusal } from "./refusals.js";

/** A refusal (RFC 9457), or status 0 for a request without an answer. `message` can be shown to people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly field?: string,
    /** The message without the leading field name, for use beside the field. */
    readonly plain: string = message,
  ) {
    super(message);
  }
}

/**
 * Sends a request and returns the JSON of the answer; rejects with an `ApiError`. With a `key` (`Idempotency-Key`) the server carries
 * out the request only once, even if it is sent again.
 */
export async function request(method: string, path: string, body?: unknown, key?: string): Promise<unknown> {
  const named = key === undefined ? {} : { "Idempotency-Key": key };
  return send(method, path, body === undefined ? undefined : { type: "application/json", bytes: JSON.stringify(body) }, named);
}

/** Sends a request that must be carried out only once; if it gets no answer it is sent again with the same key. */
export async function command(method: string, path: string, body?: unknown): Promise<unknown> {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    return await request(method, path, body, key);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 0) throw error;
    return request(method, path, body, key);
  }
}

/** Sends a file as the body of a POST. */
export async function upload(path: string, file: Blob, type: string): Promise<unknown> {
  return send("POST", path, { type, bytes: file }, {});
}

async function send(
  method: string,
  path: string,
  body: { type: string; bytes: string | Blob } | undefined,
  more: Record<string, string>,
): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: { ...proof(method), ...(body ? { "Content-Type": body.type } : {}), ...more },
      ...(body ? { body: body.bytes } : {}),
    });
  } catch {
    throw new ApiError(0, "The server does not answer. Check your network, then try again.");
  }
  const value = parse(await response.text().catch(() => ""));
  if (response.ok) return value;
  const { message, field, plain } = refusal(response.status, value, response.headers.get("Retry-After"));
  throw new ApiError(response.status, message, field, plain);
}

function proof(method: string): Record<string, string> {
  const token = method === "GET" ? undefined : csrfToken(document.cookie);
  return token === undefined ? {} : { "X-CSRF-Token": token };
}

function parse(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Goes to the sign-in page, which returns to this page afterwards. */
export function toLogin(): void {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`);
}
