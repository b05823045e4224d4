/**
 * How a call ended, in one sentence for the user of the phone.
 *
 *   refused (status, phrase) ─▶ the server's own sentence, else the meaning of the status
 *   CANCEL, BYE (Reason)     ─▶ who ended the call, and whether it was answered elsewhere
 *   neither                  ─▶ what failed
 */
import { sentence } from "../refusals.js";

/** State of the call when it ended. */
export type Stage = "incoming" | "calling" | "active";

/** The facts about a call's end. */
export interface Ending {
  stage: Stage;
  /** Whether the user of this page ended it. */
  ours: boolean;
  /** JsSIP's originator: `local`, `remote` or `system`. */
  originator: string;
  /** JsSIP's cause, such as `Dialog Error`. */
  cause: string;
  /** The final status of an outgoing call; 0 if there was none. */
  status: number;
  /** The reason phrase of that status. */
  phrase: string;
  /** The Reason header of the request that ended the call (RFC 3326), or "". */
  reason: string;
}

/** Returns the sentence to show; "" if the user knows why the call ended. */
export function endingText(ending: Ending): string {
  const { stage, ours, originator, cause, status, phrase } = ending;
  if (ours) return stage === "active" ? "You ended the call." : "";
  if (stage === "calling" && status > 0) return refusalText(status, phrase);
  if (originator === "remote") return stage === "incoming" ? cancelText(ending) : goodbyeText(ending);
  return brokenText(cause);
}

/** Reason phrases that add nothing to their status, from RFC 3261 and its successors. */
const STANDARD = new Set([
  "",
  "bad request",
  "unauthorized",
  "forbidden",
  "not found",
  "method not allowed",
  "not acceptable",
  "proxy authentication required",
  "request timeout",
  "gone",
  "unsupported media type",
  "temporarily unavailable",
  "call/transaction does not exist",
  "loop detected",
  "too many hops",
  "address incomplete",
  "ambiguous",
  "busy here",
  "request terminated",
  "not acceptable here",
  "server internal error",
  "internal server error",
  "not implemented",
  "bad gateway",
  "service unavailable",
  "server time-out",
  "busy everywhere",
  "decline",
  "declined",
  "does not exist anywhere",
  "client error",
  "server error",
  "global failure",
  "busy",
  "unavailable",
  "rejected",
  "canceled",
]);

/** Sentences for the server's short reason phrases. */
const PHRASES: Record<string, string> = {
  "not registered": "Your colleague is not signed in: no phone is registered under this name.",
  "no route for this number": "The server has no route for this number. An administrator can add one.",
  draining: "The server is about to stop and is not taking new calls.",
  "no media capacity": "The server cannot take another call right now. Try again in a moment.",
  "control plane overloaded": "The server is overloaded. Try again in a moment.",
};

/**
 * Returns the meaning of a final SIP response for the person who dialled. A phrase that says more than its status is the server's own
 * sentence and is shown as it is.
 */
export function refusalText(status: number, phrase: string): string {
  const words = phrase.trim();
  const known = PHRASES[words.toLowerCase()];
  if (known) return known;
  if (!STANDARD.has(words.toLowerCase())) return sentence(words);
  if (status === 486 || status === 600) return "The line is busy.";
  if (status === 480 || status === 408) return "Nobody answered.";
  if (status === 404 || status === 410 || status === 484 || status === 604) return "There is no such number.";
  if (status === 403 || status === 603) return "The call was refused.";
  if (status === 488 || status === 606) return "The two sides have no audio format in common.";
  if (status === 487) return "The call was cancelled.";
  if (status === 503) return "The server is not taking calls right now.";
  if (status >= 500 && status < 600) return "The number could not be reached.";
  return words === "" ? "The call failed." : `The call failed: ${words}.`;
}

function cancelText({ reason }: Ending): string {
  const { protocol, cause } = parseReason(reason);
  if (protocol === "SIP" && cause === 200) return "The call was answered elsewhere: in another tab or on another of your phones.";
  if (protocol === "Q.850" && (cause === 18 || cause === 19)) return "You did not answer in time.";
  if (protocol === "Q.850" && cause === 41) return "The server ended the call because it is stopping.";
  return "The caller hung up before you answered.";
}

function goodbyeText({ stage, reason }: Ending): string {
  const { protocol, cause } = parseReason(reason);
  if (protocol === "Q.850" && cause === 41) return "The server ended the call because it is stopping or has failed.";
  if (protocol === "Q.850" && cause === 102) return "The call was ended because no more sound arrived.";
  if (protocol === "SIP" && cause === 488) return "The two sides have no audio format in common.";
  return stage === "calling" ? "The call failed." : "The other side ended the call.";
}

/** Returns the sentence for a call that neither side ended, from JsSIP's cause. */
function brokenText(cause: string): string {
  switch (cause) {
    case "Dialog Error":
      return "The call was lost: the server no longer knows it. The server was restarted, or this page was offline for too long.";
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

/** Causes in the server's record of a call that explain more than the phone can know. */
const RECORDED: Record<string, string> = {
  requested: "Somebody ended the call from another page or program.",
  transferred: "The call was transferred.",
  shutdown: "The server was stopped during the call.",
  crash: "The server was restarted during the call.",
  media_timeout: "The call was ended because no more sound arrived.",
  max_duration: "The call was ended because it reached the maximum length.",
  not_human: "The call was ended because no person answered: a voicemail, a menu or a fax machine did.",
  internal: "The call ended because of a server error.",
};

/** Returns the sentence for the cause that the server recorded; `undefined` if the phone's own sentence says as much. */
export function recordedText(cause: string | null): string | undefined {
  return cause === null ? undefined : RECORDED[cause];
}

/**
 * Returns the sentence about the end of a call for one person: how their own leg ended, else how the call ended. After a restart the
 * call's cause is used, because the leg's cause is only an internal error. `undefined`: neither cause explains more.
 */
export function endText(leg: string | null, call: string | null): string | undefined {
  return recordedText(call === "crash" ? call : leg) ?? recordedText(call);
}

/** Parses `SIP;cause=200;text="…"`: protocol and cause of the first value; the cause is 0 if it is missing. */
function parseReason(value: string): { protocol: string; cause: number } {
  const [protocol = "", ...fields] = (value.split(",")[0] ?? "").split(";").map((field) => field.trim());
  const cause = fields.map((field) => /^cause\s*=\s*(\d{1,3})$/i.exec(field)?.[1]).find((found) => found !== undefined);
  return { protocol: protocol.toUpperCase(), cause: Number(cause ?? 0) };
}
