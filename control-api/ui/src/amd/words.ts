/** Texts for the detection of answering machines: verdicts, what follows them, and what they rest on. */
import type { Tone } from "../legs.js";
import { type Amd, currentVerdict, type Evidence, type Interval, type Verdict } from "./state.js";

/** A verdict: tone, name, the same after "turned out to be", and what it means. */
interface Answer {
  tone: Tone;
  name: string;
  object: string;
  about: string;
}

/** The verdicts, in the order of the settings. */
export const ANSWERS: Readonly<Record<string, Answer>> = {
  human: { tone: "good", name: "Person", object: "a person", about: "Somebody speaks live." },
  machine: { tone: "warn", name: "Voicemail", object: "a voicemail", about: "A recorded greeting, with or without a beep." },
  screening: {
    tone: "warn",
    name: "Call assistant",
    object: "a call assistant",
    about: "An assistant on the callee's phone asks who is calling.",
  },
  ivr: { tone: "warn", name: "Phone menu", object: "a phone menu", about: "A recorded menu or the announcement of a queue." },
  fax: { tone: "bad", name: "Fax", object: "a fax machine", about: "A fax machine or a modem." },
  sit: {
    tone: "bad",
    name: "Not in service",
    object: "a number that is not in service",
    about: "The network's three rising tones: the number is not in service.",
  },
  busy: { tone: "bad", name: "Busy tone", object: "a busy tone", about: "The network answered and plays a busy tone." },
  ringback: {
    tone: "idle",
    name: "Ringing tone",
    object: "a ringing tone",
    about: "The network answered, but the phone is still ringing.",
  },
  music: { tone: "idle", name: "Music", object: "music", about: "Music without speech, such as a ringback melody." },
  silence: { tone: "idle", name: "Silence", object: "silence", about: "Nothing was heard until the time limit." },
  unknown: { tone: "idle", name: "Unclear", object: "something unclear", about: "None of these is likely enough." },
};

/** Returns the name of a verdict, such as `Voicemail`. */
export function answerName(verdict: string): string {
  return ANSWERS[verdict]?.name ?? capital(verdict.replaceAll("_", " "));
}

export function answerTone(verdict: string): Tone {
  return ANSWERS[verdict]?.tone ?? "idle";
}

/** Returns a verdict with its probability, such as `Voicemail, 97 %`. An unclear one has no meaningful probability. */
export function verdictText({ verdict, probability }: Pick<Verdict, "verdict" | "probability">): string {
  const name = answerName(verdict);
  return probability === null || verdict === "unknown" ? name : `${name}, ${percent(probability)}`;
}

/** Returns a probability from 0 to 1 in percent. Certainty is not claimed. */
export function percent(probability: number): string {
  const value = Math.round(100 * probability);
  return value >= 100 ? "over 99 %" : `${Math.max(0, value)} %`;
}

/** The text of the pill, and of its tone. `over`: whether the leg has ended. */
export function badge(amd: Amd, over: boolean): { tone: Tone; text: string } {
  const verdict = currentVerdict(amd);
  if (!verdict) return { tone: "idle", text: over ? "Not determined" : "Listening: who answered?" };
  return { tone: answerTone(verdict.verdict), text: verdictText(verdict) };
}

/** Returns what followed the current verdict, in words; "" if nothing did. `over`: whether the leg has ended. */
export function actionText(amd: Amd, over: boolean): string {
  const verdict = currentVerdict(amd);
  if (!verdict) return over ? "the call ended before it was clear who answered" : "";
  if (verdict.action === "message") return messageText(amd, over);
  return verdict.action === "reply" && !over ? "replied, listening to what follows" : followedText(verdict.action);
}

const FOLLOWED: Readonly<Record<string, string>> = {
  connect: "connected",
  hang_up: "hung up",
  retry_later: "hung up, to be called again later",
  reply: "replied",
  message: "a message is to be left",
  transfer: "transferred",
  program: "handed to a call program",
};

/** Returns an action that has been taken, in words. */
export function followedText(action: string): string {
  return FOLLOWED[action] ?? action.replaceAll("_", " ");
}

const MESSAGE_ENDS: Readonly<Record<string, string>> = {
  left: "message left",
  human: "message interrupted, because a person spoke",
  stopped: "message cut short",
  failed: "the message could not be played",
};

/** Returns how a message ended, in words. */
export function messageEndText(end: string): string {
  return MESSAGE_ENDS[end] ?? `message ${end.replaceAll("_", " ")}`;
}

function messageText({ message, greetingEndMs }: Amd, over: boolean): string {
  if (message.end !== "") return messageEndText(message.end);
  if (over) return message.begunMs === null ? "no message left" : "message cut short";
  if (message.begunMs !== null) return "leaving a message";
  return greetingEndMs === null ? "waiting for the end of the greeting" : "waiting for the beep";
}

const AFTER: Readonly<Record<string, string>> = {
  beep: "after the beep",
  greeting_end: "after the greeting, because no beep came",
  limit: "at the time limit, while the other side was still speaking",
};

/** Returns what a message waited for, in words; "" if unknown. */
export function messageAfterText(after: string): string {
  return AFTER[after] ?? "";
}

/** Returns when the message began and ended, and what it waited for; "" if there was none. */
export function messageTimes({ message }: Amd): string {
  if (message.begunMs === null) return "";
  const when = message.endMs === null ? `since ${seconds(message.begunMs)}` : `${seconds(message.begunMs)} to ${seconds(message.endMs)}`;
  return [when, messageAfterText(message.after)].filter(Boolean).join(", ");
}

/** Returns what a correction found, such as `turned out to be a voicemail`. */
export function foundText({ verdict }: Pick<Verdict, "verdict">): string {
  return `turned out to be ${ANSWERS[verdict]?.object ?? answerName(verdict).toLowerCase()}`;
}

/** Returns the correction of the current verdict as a sentence; "" if there is none. */
export function correctionText({ revised }: Amd): string {
  if (!revised) return "";
  const details = [
    revised.probability === null ? "" : percent(revised.probability),
    revised.decidedAtMs === null ? "" : `after ${seconds(revised.decidedAtMs)}`,
  ].filter(Boolean);
  return `${capital(foundText(revised))}${details.length > 0 ? ` (${details.join(", ")})` : ""}.`;
}

/** Returns when a verdict was reached, such as `after 3.4 s`; "" if unknown. */
export function decidedText({ decidedAtMs }: Pick<Verdict, "decidedAtMs">): string {
  return decidedAtMs === null ? "" : `after ${seconds(decidedAtMs)}`;
}

const MODES: Readonly<Record<string, string>> = { fast: "Fast", balanced: "Balanced", careful: "Careful" };

export function modeName(mode: string): string {
  return MODES[mode] ?? capital(mode);
}

/** Formats a position or duration, such as `3.4 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Formats frequencies, such as `440 and 480 Hz`. */
export function frequencies(hz: readonly number[]): string {
  return hz.length === 0 ? "" : `${join(hz.map(String))} Hz`;
}

/** Formats intervals with their total, such as `0.5 to 3.1 s (2.6 s in total)`. */
export function intervalsText(intervals: readonly Interval[]): string {
  if (intervals.length === 0) return "";
  const one = ([from, to]: Interval): string => `${(from / 1000).toFixed(1)} to ${seconds(to)}`;
  const total = intervals.reduce((sum, [from, to]) => sum + Math.max(0, to - from), 0);
  const shown = intervals.slice(-8);
  const more = intervals.length > shown.length ? `${intervals.length - shown.length} earlier ones, ` : "";
  return `${more}${shown.map(one).join(", ")} (${seconds(total)} in total)`;
}

const GROUNDS: Readonly<Record<string, string>> = {
  sound: "The voice, its pauses, and the sound of the line",
  fax: "The tone of a fax machine",
  sit: "Special information tones of the network",
  signal: "A signal tone of the network",
  beep: "The beep",
  limit: "The time limit, with what had been heard until then",
  signalling: "The answer of the network to the call",
  failure: "Nothing: the detection could not run",
};

/** A term with its text, or with several. */
export interface Fact {
  term: string;
  texts: readonly string[];
}

/** Facts about one verdict, or about the leg as a whole. */
export interface FactGroup {
  /** "" if the group needs no title. */
  title: string;
  facts: readonly Fact[];
}

/** Returns everything about a detection in words. Verdicts have a title if there are several. */
export function factGroups(amd: Amd): FactGroup[] {
  const several = amd.verdicts.length > 1 || amd.revised !== null;
  const titled = (verdict: Verdict, prefix: string): FactGroup => ({
    title: [`${prefix}${verdictText(verdict)}`, decidedText(verdict), followedText(verdict.action)].filter(Boolean).join(", "),
    facts: evidenceFacts(verdict.evidence),
  });
  const whole = known([
    { term: "Message", texts: [messageTimes(amd)] },
    { term: "Mode", texts: [modeName(amd.mode)] },
  ]);
  if (!several) {
    const facts = amd.verdicts.flatMap((verdict) => [
      { term: "Decided", texts: [decidedText(verdict)] },
      ...evidenceFacts(verdict.evidence),
    ]);
    return [{ title: "", facts: [...known(facts), ...whole] }];
  }
  return [
    ...amd.verdicts.map((verdict) => titled(verdict, "")),
    ...(amd.revised ? [titled(amd.revised, "Correction: ")] : []),
    { title: "", facts: whole },
  ];
}

const LINES: Readonly<Record<string, string>> = { residence: "Sounds like a private line", business: "Sounds like a business" };

function evidenceFacts({ ground, hz, speech, line, phrases, features }: Evidence): Fact[] {
  const signs = (side: number): string[] =>
    features.filter(({ weight }) => weight * side > 0).map(({ name, value }) => featureText(name, value));
  return known([
    { term: "Decided by", texts: [GROUNDS[ground] ?? capital(ground.replaceAll("_", " "))] },
    { term: "Tone", texts: [frequencies(hz)] },
    { term: "Speech", texts: [intervalsText(speech)] },
    { term: "Line", texts: [LINES[line] ?? line] },
    { term: "Phrases heard", texts: phrases.map(({ phrase, probability }) => `“${phrase}” (${percent(probability)})`) },
    { term: "Speaks for a person", texts: signs(1) },
    { term: "Speaks for a recording", texts: signs(-1) },
  ]);
}

function known(facts: readonly Fact[]): Fact[] {
  return facts.filter(({ texts }) => texts.join("") !== "");
}

type Unit = "s" | "count" | "share" | "percent" | "dB" | "semitones" | "pitch" | "Hz" | "rate" | "flag" | "odds" | "number";

/** The detector's features by name (media-engine/src/amd/features.rs). */
const FEATURES: Readonly<Record<string, readonly [label: string, unit: Unit]>> = {
  elapsed: ["time since the answer", "s"],
  onset: ["silence before the first word", "s"],
  since_onset: ["time since the first word", "s"],
  speech: ["speech in total", "s"],
  bursts: ["stretches of speech", "count"],
  run: ["speech without a pause", "s"],
  quiet: ["silence since the last word", "s"],
  longest: ["longest stretch of speech", "s"],
  first: ["first stretch of speech", "s"],
  longest_pause: ["longest pause", "s"],
  mean_pause: ["average pause", "s"],
  first_pause: ["first pause", "s"],
  speech_share: ["share of speech", "share"],
  phrase_longest: ["longest phrase", "s"],
  phrases: ["phrases", "count"],
  phrase_last: ["last phrase", "s"],
  phrase_first: ["first phrase", "s"],
  pause_in_phrase: ["longest pause within a phrase", "s"],
  last: ["last stretch of speech", "s"],
  speech_3s: ["speech in the last 3 s", "s"],
  phrase_quiet: ["silence relative to the last phrase", "number"],
  tone_total: ["tones in total", "s"],
  tone_last: ["last tone", "s"],
  tone_since: ["time since the last tone", "s"],
  tone_after_speech: ["tones after speech", "s"],
  tone_before: ["tones before speech", "s"],
  tones: ["tones", "count"],
  tone_now: ["a tone at the decision", "flag"],
  tone_freq: ["frequency of the last tone", "Hz"],
  tone_early: ["time until the first tone", "s"],
  loud_speech: ["speech of the nearest voice", "s"],
  loud_bursts: ["stretches of the nearest voice", "count"],
  loud_run: ["nearest voice without a pause", "s"],
  loud_quiet: ["silence of the nearest voice", "s"],
  loud_longest: ["longest stretch of the nearest voice", "s"],
  loud_pause: ["longest pause of the nearest voice", "s"],
  pitch: ["pitch of the voice", "pitch"],
  pitch_spread: ["variation of the pitch", "semitones"],
  pitch_range: ["range of the pitch", "semitones"],
  pitch_end: ["change of the pitch at the last word", "semitones"],
  pitch_end_first: ["change of the pitch after the first words", "semitones"],
  pitch_jump: ["movement of the pitch", "semitones"],
  pitch_last: ["pitch of the last words, relative", "semitones"],
  voiced_share: ["share of voiced sounds", "share"],
  voicing: ["clearness of the voice", "percent"],
  syllables: ["syllables", "rate"],
  level_spread: ["variation of the level", "dB"],
  level_slope: ["change of the level within speech", "dB"],
  burst_spread: ["differences in level between stretches", "dB"],
  first_level: ["level of the first words, relative", "dB"],
  flux: ["movement of the timbre", "dB"],
  centroid: ["brightness of the voice", "number"],
  centroid_spread: ["variation of the brightness", "number"],
  tonal_share: ["share of tonal sound", "percent"],
  level: ["level of the speech", "dB"],
  floor: ["level of the background", "dB"],
  range: ["speech above the background", "dB"],
  quiet_spread: ["variation of the background", "dB"],
  quiet_level: ["background in pauses, relative to speech", "dB"],
  before_level: ["background before the first word, relative to speech", "dB"],
  before_after: ["change of the background with the first word", "dB"],
  zero_share: ["digital silence in pauses", "share"],
  zero_before: ["digital silence before the first word", "share"],
  decay: ["fading after words", "dB"],
  attack: ["onset of words", "dB"],
  quiet_tilt: ["timbre of the background", "dB"],
  quiet_voiced: ["voices in the background", "share"],
  quiet_tonal: ["tonal background", "percent"],
  holes: ["gaps within words", "count"],
  click: ["click after the answer", "dB"],
  peak_level: ["peaks above the speech", "dB"],
  low_edge: ["low frequencies of the voice", "dB"],
  high_edge: ["high frequencies of the voice", "dB"],
  quiet_now: ["background at the decision, relative to speech", "dB"],
  quiet_now_spread: ["variation of the background at the decision", "dB"],
  quiet_now_zero: ["digital silence at the decision", "share"],
  music: ["steady tones, as in music", "share"],
  said_hello: ["a greeting such as “hello?”", "odds"],
  said_name: ["a name", "odds"],
  said_help: ["an offer of help", "odds"],
  said_talk: ["talk", "odds"],
  said_reached: ["“you have reached”", "odds"],
  said_away: ["“not available”", "odds"],
  said_leave: ["“leave a message”", "odds"],
  said_network: ["a voicemail of the network", "odds"],
  said_full: ["“the mailbox is full”", "odds"],
  said_who: ["“who is calling?”", "odds"],
  said_welcome: ["a welcome", "odds"],
  said_option: ["a menu option", "odds"],
  said_gone: ["“not in service”", "odds"],
  net_human: ["phrases of a person", "odds"],
  net_machine: ["phrases of a voicemail", "odds"],
  net_screening: ["phrases of a call assistant", "odds"],
  net_ivr: ["phrases of a menu", "odds"],
  net_music: ["music by its spectrum", "odds"],
  net_silence: ["silence by its spectrum", "odds"],
  net_other: ["other sound by its spectrum", "odds"],
};

/** Edges of the bands `band0` to `band13`, in hertz. */
const BANDS = [94, 187, 281, 406, 500, 656, 812, 1000, 1250, 1562, 1906, 2312, 2812, 3406, 3906];

/** Returns a feature with its value, such as `longest phrase 2.4 s`. */
export function featureText(name: string, value: number): string {
  const band = Number(/^band(\d+)$/.exec(name)?.[1] ?? Number.NaN);
  if (BANDS[band + 1] !== undefined) return `voice between ${BANDS[band]} and ${BANDS[band + 1]} Hz ${quantity(value, "dB")}`;
  const [label, unit] = FEATURES[name] ?? [name.replaceAll("_", " "), "number"];
  return unit === "flag" ? `${value > 0 ? "" : "no "}${label}`.replace("no a ", "no ") : `${label} ${quantity(value, unit)}`;
}

function quantity(value: number, unit: Unit): string {
  switch (unit) {
    case "s":
      return `${value.toFixed(1)} s`;
    case "share":
      return `${Math.round(100 * value)} %`;
    case "percent":
      return `${Math.round(value)} %`;
    case "dB":
      return `${value.toFixed(0).replace(/^-0$/, "0").replace("-", "−")} dB`;
    case "semitones":
      return `${value.toFixed(1).replace("-", "−")} semitones`;
    case "pitch":
      return value <= 0 ? "none" : `${Math.round(55 * 2 ** (value / 12))} Hz`;
    case "Hz":
      return `${Math.round(value)} Hz`;
    case "rate":
      return `${value.toFixed(1)} per second`;
    case "odds":
      return percent(1 / (1 + Math.exp(-value)));
    case "count":
      return String(Math.round(value));
    default:
      return String(Math.round(100 * value) / 100).replace("-", "−");
  }
}

function join(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Returns the text with a capital first letter. */
export function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
