/** Texts for languages, causes, durations and times. */

/** Languages that are offered; the API takes any BCP 47 tag. */
export const LANGUAGES = [
  "en",
  "es",
  "fr",
  "de",
  "it",
  "pt",
  "pt-BR",
  "nl",
  "pl",
  "tr",
  "ru",
  "uk",
  "ar",
  "hi",
  "zh",
  "ja",
  "ko",
  "vi",
  "tl",
];

/** Returns the English name of a language tag, such as "Spanish" for `es`; the tag itself if it is unknown. */
export function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Formats a duration as minutes and seconds, with hours if there are any. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const CAUSES: Record<string, string> = {
  normal: "The call has ended.",
  requested: "The call was ended here.",
  max_duration: "The call reached the maximum length.",
  not_human: "No person answered.",
  busy: "The line is busy.",
  no_answer: "Nobody answered.",
  rejected: "The call was refused.",
  not_found: "There is no such number.",
  incompatible: "The two sides have no audio format in common.",
  cancelled: "The caller hung up before the call was answered.",
  unreachable: "The number could not be reached.",
  media_timeout: "The sound stopped arriving.",
  internal: "The call ended because of a server error.",
  transferred: "The call was transferred.",
  shutdown: "The server is shutting down.",
  crash: "The server stopped during the call.",
};

/** The same in a word or two, for lists; causes for which the call's status says enough are missing. */
const CAUSE_WORDS: Record<string, string> = {
  busy: "Busy",
  no_answer: "No answer",
  rejected: "Refused",
  not_found: "No such number",
  incompatible: "No common audio",
  cancelled: "Cancelled",
  unreachable: "Unreachable",
  media_timeout: "Sound stopped",
  internal: "Server error",
  crash: "Server stopped",
  shutdown: "Server stopped",
};

/** Returns a cause in a word or two; "" if the call's status says enough. */
export function causeWords(cause: string | null): string {
  return CAUSE_WORDS[cause ?? ""] ?? "";
}

/** Returns a cause as a sentence. */
export function causeText(cause: string | null): string {
  return cause ? (CAUSES[cause] ?? cause) : "The call has ended.";
}

/** Formats a time in the user's time zone: `Today, 14:03`, `Sat 21 Nov, 14:03` this year, otherwise `21 Nov 2025, 14:03`. */
export function dateTime(time: string | null, now: number, seconds = false): string {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "";
  const clock = clockTime(at, seconds);
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return `Today, ${clock}`;
  return `${dateOnly(time, now)}, ${clock}`;
}

/** Formats a date: `Sat 21 Nov` this year, otherwise `21 Nov 2025`. */
export function dateOnly(time: string | null, now: number): string {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "";
  const month = new Intl.DateTimeFormat("en-GB", { month: "short" }).format(at);
  if (at.getFullYear() !== new Date(now).getFullYear()) return `${at.getDate()} ${month} ${at.getFullYear()}`;
  return `${new Intl.DateTimeFormat("en-GB", { weekday: "short" }).format(at)} ${at.getDate()} ${month}`;
}

/** Formats the time of day, such as `14:03`. */
export function clockTime(at: Date, seconds = false): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
}

/** Formats a time relative to `now` in the largest fitting unit, such as `5 minutes ago` or `in 3 days`. */
export function relative(time: string | null, now: number): string {
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return "";
  const seconds = Math.round((at - now) / 1000);
  const units: [Intl.RelativeTimeFormatUnit, number][] = [
    ["year", 31_536_000],
    ["month", 2_592_000],
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ];
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  if (unit === "second") return seconds > 0 ? "in a moment" : "just now";
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
