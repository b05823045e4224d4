/**
 * How a call ended, in one sentence for the person at the telephone.
 *
 *   refused (status, phrase) ─▶ the server's own sentence, else what the status means
 *   CANCEL, BYE (Reason)     ─▶ who ended it, and whether somebody else took it
 *   neither                  ─▶ what broke
 */
import { sentence } from "../refusals.js";

/** Where the call stood. */
export type Stage = "incoming" | "calling" | "active";

export interface Ending {
  stage: Stage;
  /** The person at this page ended it. */
  ours: boolean;
  /** As JsSIP tells it: `local`, `remote` or `system`. */
  originator: string;
  /** As JsSIP tells it, such as `Dialog Error`. */
  cause: string;
  /** The final status of an outgoing call; 0: there was none. */
  status: number;
  /** Its reason phrase. */
  phrase: string;
  /** The Reason header of the request that ended it (RFC 3326), or "". */
  reason: string;
}

export function endingText(ending: Ending): string {
  const { stage, ours, originator, cause, status, phrase } = ending;
  if (ours) return stage === "active" ? "You ended the call." : "";
  if (stage === "calling" && status > 0) return refusalText(status, phrase);
  if (originator === "remote") return stage === "incoming" ? cancelText(ending) : goodbyeText(ending);
  return brokenText(cause);
}

/** Phrases that say no more than their status, as RFC 3261 and its successors have them. */
const STANDARD = new Set([
  "", "bad request", "unauthorized", "forbidden", "not found", "method not allowed", "not acceptable", "proxy authentication required",
  "request timeout", "gone", "unsupported media type", "temporarily unavailable", "call/transaction does not exist", "loop detected",
  "too many hops", "address incomplete", "ambiguous", "busy here", "request terminated", "not acceptable here", "server internal error",
  "internal server error", "not implemented", "bad gateway", "service unavailable", "server time-out", "busy everywhere", "decline", "declined",
  "does not exist anywhere", "client error", "server error", "global failure", "busy", "unavailable", "rejected", "canceled",
]);

/** The server's short phrases, in a sentence. */
const PHRASES: Record<string, string> = {
  "not registered": "Your colleague is not signed in: no telephone is registered under this name.",
  "no route for this number": "The server has no route for this number. An administrator can add one.",
  "draining": "The server is about to stop and takes no new calls.",
  "no media capacity": "The server has no room for another call now. Try again in a moment.",
  "control plane overloaded": "The server has too much to do now. Try again in a moment.",
};

/** What a final SIP answer means to the person who dialled. A phrase that says more than its status is the server's own sentence. */
export function refusalText(status: number, phrase: string): string {
  const words = phrase.trim();
  const known = PHRASES[words.toLowerCase()];
  if (known) return known;
  if (!STANDARD.has(words.toLowerCase())) return sentence(words);
  if (status === 486 || status === 600) return "The line is busy.";
  if (status === 480 || status === 408) return "Nobody answered.";
  if (status === 404 || status === 410 || status === 484 || status === 604) return "There is no such number.";
  if (status === 403 || status === 603) return "The call was refused.";
  if (status === 488 || status === 606) return "No common audio format.";
  if (status === 487) return "The call was cancelled.";
  if (status === 503) return "The server takes no calls now.";
  if (status >= 500 && status < 600) return "The number could not be reached.";
  return words === "" ? "The call failed." : `The call failed: ${words}.`;
}

function cancelText({ reason }: Ending): string {
  const { protocol, cause } = parseReason(reason);
  if (protocol === "SIP" && cause === 200) return "The call was answered elsewhere: in another tab, or by another telephone of yours.";
  if (protocol === "Q.850" && (cause === 18 || cause === 19)) return "You did not answer in time.";
  if (protocol === "Q.850" && cause === 41) return "The server ended the call: it is stopping.";
  return "The caller hung up before the answer.";
}

function goodbyeText({ stage, reason }: Ending): string {
  const { protocol, cause } = parseReason(reason);
  if (protocol === "Q.850" && cause === 41) return "The server ended the call: it is stopping, or has a fault.";
  if (protocol === "Q.850" && cause === 102) return "The call was ended: no sound arrived any more.";
  if (protocol === "SIP" && cause === 488) return "No common audio format.";
  return stage === "calling" ? "The call failed." : "The other side ended the call.";
}

/** Neither side ended it: what the telephone in this page says. */
function brokenText(cause: string): string {
  switch (cause) {
    case "Dialog Error":
      return "The call was lost: the server no longer knows it. It was restarted, or this page was cut off for too long.";
    case "Connection Error":
    case "Request Timeout":
    case "RTP Timeout":
    case "No ACK":
      return "The call was lost: the connection to the server broke.";
    case "Expires":
    case "No Answer":
      return "The call was not answered in time.";
    case "Canceled":
    case "Rejected":
    case "Terminated":
      return "";
    default:
      return `The call failed: ${cause}.`;
  }
}

/** Causes in the server's record of a call that say more than its telephone could know. */
const RECORDED: Record<string, string> = {
  requested: "Somebody ended the call from another page or program.",
  transferred: "The call was transferred.",
  shutdown: "The server was stopped during the call.",
  crash: "The server was restarted during the call.",
  media_timeout: "The call was ended: no sound arrived any more.",
  max_duration: "The call was ended: it had lasted as long as calls may.",
  internal: "The call ended because of a fault of the server.",
};

/** The sentence about a call's end once the server has recorded why; `undefined`: the telephone's own says as much. */
export function recordedText(cause: string | null): string | undefined {
  return cause === null ? undefined : RECORDED[cause];
}

/**
 * The sentence about a person's end of a call: how their own leg ended, else how the call did. Whoever was cut off by a restart is told of
 * the restart, which the leg's cause calls a fault.
 */
export function endText(leg: string | null, call: string | null): string | undefined {
  return recordedText(call === "crash" ? call : leg) ?? recordedText(call);
}

/** `SIP;cause=200;text="…"`: the first value's protocol and cause; 0 when it names none. */
function parseReason(value: string): { protocol: string; cause: number } {
  const [protocol = "", ...fields] = (value.split(",")[0] ?? "").split(";").map((field) => field.trim());
  const cause = fields.map((field) => /^cause\s*=\s*(\d{1,3})$/i.exec(field)?.[1]).find((found) => found !== undefined);
  return { protocol: protocol.toUpperCase(), cause: Number(cause ?? 0) };
}
