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
  max_duration: "The call lasted as long as calls may.",
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

/** The same in a word or two, for lists; "" where the call's status says enough. */
const CAUSE_WORDS: Record<string, string> = {
  busy: "Busy", no_answer: "No answer", rejected: "Refused", not_found: "No such number", incompatible: "No common audio", cancelled: "Cancelled",
  unreachable: "Unreachable", media_timeout: "Sound stopped", internal: "Our fault", crash: "Server stopped", shutdown: "Server stopped",
};

export function causeWords(cause: string | null): string {
  return CAUSE_WORDS[cause ?? ""] ?? "";
}

export function causeText(cause: string | null): string {
  return cause ? (CAUSES[cause] ?? cause) : "The call has ended.";
}

/** `Today, 14:03`, `Sat 21 Nov, 14:03` this year, `21 Nov 2025, 14:03` before; in the reader's zone. */
export function dateTime(time: string | null, now: number, seconds = false): string {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "";
  const clock = clockTime(at, seconds);
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return `Today, ${clock}`;
  return `${dateOnly(time, now)}, ${clock}`;
}

/** `Sat 21 Nov`, with the year when it is another one. */
export function dateOnly(time: string | null, now: number): string {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "";
  const month = new Intl.DateTimeFormat("en-GB", { month: "short" }).format(at);
  if (at.getFullYear() !== new Date(now).getFullYear()) return `${at.getDate()} ${month} ${at.getFullYear()}`;
  return `${new Intl.DateTimeFormat("en-GB", { weekday: "short" }).format(at)} ${at.getDate()} ${month}`;
}

export function clockTime(at: Date, seconds = false): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
}

/** `5 minutes ago`, `in 3 days`: to the unit that says most. */
export function relative(time: string | null, now: number): string {
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return "";
  const seconds = Math.round((at - now) / 1000);
  const units: [Intl.RelativeTimeFormatUnit, number][] = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  if (unit === "second") return seconds > 0 ? "in a moment" : "just now";
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
