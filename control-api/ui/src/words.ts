/** Small texts. */

/** `es` as "Spanish". */
export function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Minutes and seconds, hours when there are any. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const CAUSES: Record<string, string> = {
  normal: "The call has ended.",
  requested: "The call was ended here.",
  busy: "The line is busy.",
  no_answer: "Nobody answered.",
  rejected: "The call was refused.",
  not_found: "There is no such number.",
  incompatible: "No common audio format.",
  cancelled: "The caller hung up before the answer.",
  unreachable: "The number could not be reached.",
  media_timeout: "The sound stopped without a word.",
  internal: "The call ended because of a fault of ours.",
  transferred: "The call was transferred.",
  shutdown: "The server is shutting down.",
  crash: "The server stopped during the call.",
};

export function causeText(cause: string | null): string {
  return cause ? (CAUSES[cause] ?? cause) : "The call has ended.";
}

/** What a final SIP status means to the person who dialled. */
export function sipStatusText(status: number, reason: string): string {
  if (status === 486 || status === 600) return "The line is busy.";
  if (status === 480 || status === 408) return "Nobody answered.";
  if (status === 404 || status === 484 || status === 604) return "There is no such number.";
  if (status === 403 || status === 603) return "The call was refused.";
  if (status === 488 || status === 606) return "No common audio format.";
  if (status === 487) return "The call was cancelled.";
  if (status === 503) return "The server takes no calls now.";
  return reason ? `The call failed: ${reason}.` : "The call failed.";
}
