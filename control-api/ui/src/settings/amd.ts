/**
 * Settings of the detection of answering machines, as the API has them and as the form edits them.
 *
 *   JSON of the server ─▶ AmdSettings ─▶ Draft of each verdict's action ─▶ form ─▶ amdPatch ─▶ request
 *
 * Pure. Invariant: an action that the form cannot show completely, such as a call program, is never changed by it.
 */
import { ANSWERS } from "../amd/words.js";
import { type Fields, fields, number, text } from "../shapes.js";

/** Verdicts for which an action can be set. One that is unclear always connects. */
export const SETTABLE: readonly string[] = Object.keys(ANSWERS).filter((verdict) => verdict !== "unknown");
/** Verdicts after which the other side waits for a reply. */
const REPLIED: readonly string[] = ["screening", "ivr", "silence"];
/** Verdicts that hang up by default; the others connect. */
const HANGING_UP: readonly string[] = ["machine", "fax", "sit", "busy"];

/** Bounds of the server. */
export const LIMIT_S = { min: 2, max: 30 };
export const BEEP_S = { min: 1, max: 60, usual: 20 };
export const RING_S = { min: 1, max: 300 };
export const TEXT_MAX = 1000;

export const MODES: readonly (readonly [mode: string, label: string])[] = [
  ["off", "Off: whoever answers is connected"],
  ["fast", "Fast: about a second sooner, with more errors"],
  ["balanced", "Balanced: recommended"],
  ["careful", "Careful: waits where balanced would guess"],
];

export interface AmdSettings {
  mode: string;
  limitS: number;
  /** Actions as JSON, by verdict; verdicts without one have their default. */
  actions: ReadonlyMap<string, Fields>;
}

/** Parses the settings; `undefined` for a server that detects nothing. */
export function parseAmdSettings(value: unknown): AmdSettings | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const settings = fields(value);
  return {
    mode: text(settings["mode"]) ?? "off",
    limitS: number(settings["limit_s"]) ?? 10,
    actions: new Map(Object.entries(fields(settings["actions"])).map(([verdict, action]) => [verdict, fields(action)])),
  };
}

/** Kind of an action in the form; `api` for one that only the API can set. */
export type ActionKind = "connect" | "hang_up" | "retry_later" | "reply" | "message" | "transfer" | "api";

/** A text to speak, as it is typed. */
export interface SpeechDraft {
  text: string;
  language: string;
}

/** An action as it is edited: every input has a value, whatever the kind. Empty numbers are the server's defaults. */
export interface Draft {
  kind: ActionKind;
  reply: SpeechDraft;
  /** Name of the sound that is played as message; "" for a spoken text. */
  media: string;
  message: SpeechDraft;
  beepS: string;
  /** Who is called if a person speaks during the message; "" for nobody. */
  person: string;
  personRingS: string;
  /** Text for such a person; "" for none. */
  sentence: SpeechDraft;
  targets: string;
  ringS: string;
}

/** Returns an empty draft. */
export function emptyDraft(kind: ActionKind, language: string): Draft {
  const speech = (): SpeechDraft => ({ text: "", language });
  return {
    kind,
    reply: speech(),
    media: "",
    message: speech(),
    beepS: String(BEEP_S.usual),
    person: "",
    personRingS: "",
    sentence: speech(),
    targets: "",
    ringS: "",
  };
}

export function defaultKind(verdict: string): ActionKind {
  return HANGING_UP.includes(verdict) ? "hang_up" : "connect";
}

/** Returns the kinds that the form offers for a verdict, with the default marked. */
export function kindOptions(verdict: string): (readonly [kind: ActionKind, label: string])[] {
  const all: (readonly [ActionKind, string])[] = [
    ["connect", "Connect"],
    ["hang_up", "Hang up"],
    ["retry_later", "Hang up, call again later"],
    ...(REPLIED.includes(verdict) ? [["reply", "Reply and listen again"] as const] : []),
    ["message", "Leave a message"],
    ["transfer", "Transfer"],
  ];
  return all.map(([kind, label]) => [kind, kind === defaultKind(verdict) ? `${label} (default)` : label]);
}

/** Returns the draft of a verdict's action. `language`: for texts that are written anew. */
export function draftOf(settings: AmdSettings, verdict: string, language: string): Draft {
  const action = settings.actions.get(verdict);
  if (!action) return emptyDraft(defaultKind(verdict), language);
  const draft = readDraft(action, language);
  return isSame(actionOf(draft), action) ? draft : emptyDraft("api", language);
}

function readDraft(action: Fields, language: string): Draft {
  const kind = Object.keys(action)[0] ?? "";
  const told = fields(action[kind]);
  const draft = emptyDraft(isKind(kind) ? kind : "api", language);
  const speech = (value: unknown): SpeechDraft => ({
    text: text(fields(value)["text"]) ?? "",
    language: text(fields(value)["language"]) ?? language,
  });
  const count = (value: unknown): string => (number(value) === null ? "" : String(value));
  const person = fields(told["person"]);
  return {
    ...draft,
    reply: speech(told),
    media: text(told["media"]) ?? "",
    message: speech(told["message"]),
    beepS: kind === "message" ? count(told["beep_s"]) : draft.beepS,
    person: targetsText(person["targets"]),
    personRingS: count(person["ring_s"]),
    sentence: speech(told["sentence"]),
    targets: targetsText(told["targets"]),
    ringS: count(told["ring_s"]),
  };
}

function isKind(kind: string): kind is ActionKind {
  return ["connect", "hang_up", "retry_later", "reply", "message", "transfer"].includes(kind);
}

/** Returns the action of a draft as JSON; for `api`, none. */
export function actionOf(draft: Draft): Fields {
  const transfer = (targets: string, ringS: string): Fields => ({
    targets: parseTargets(targets),
    ...(ringS.trim() === "" ? {} : { ring_s: Number(ringS) }),
  });
  const speech = ({ text: words, language }: SpeechDraft): Fields => ({ text: words.trim(), language: language.trim() });
  switch (draft.kind) {
    case "reply":
      return { reply: speech(draft.reply) };
    case "message":
      return {
        message: {
          ...(draft.media === "" ? { message: speech(draft.message) } : { media: draft.media }),
          ...(draft.beepS.trim() === "" ? {} : { beep_s: Number(draft.beepS) }),
          ...(draft.person.trim() === "" ? {} : { person: transfer(draft.person, draft.personRingS) }),
          ...(draft.sentence.text.trim() === "" ? {} : { sentence: speech(draft.sentence) }),
        },
      };
    case "transfer":
      return { transfer: transfer(draft.targets, draft.ringS) };
    case "api":
      return {};
    default:
      return { [draft.kind]: {} };
  }
}

/** Returns the changes from the saved settings to the edited ones, as the API takes them: null restores the default of a verdict. */
export function amdPatch(saved: AmdSettings, edited: { mode: string; limitS: number; drafts: ReadonlyMap<string, Draft> }): Fields {
  const actions: Fields = {};
  for (const [verdict, draft] of edited.drafts) {
    if (draft.kind === "api") continue;
    const [before, after] = [saved.actions.get(verdict), actionOf(draft)];
    const isDefault = draft.kind === defaultKind(verdict);
    if (before ? !isSame(before, after) : !isDefault) actions[verdict] = isDefault ? null : after;
  }
  return {
    ...(edited.mode === saved.mode ? {} : { mode: edited.mode }),
    ...(edited.limitS === saved.limitS ? {} : { limit_s: edited.limitS }),
    ...(Object.keys(actions).length === 0 ? {} : { actions }),
  };
}

/** Parses targets that are separated by commas or line ends: numbers and SIP addresses, and SIP user names of agents. */
export function parseTargets(words: string): Fields[] {
  return words
    .split(/[,;\n]/)
    .map((word) => word.trim())
    .filter((word) => word !== "")
    .map((word) => {
      if (/^sips?:/i.test(word)) return { to: word };
      return /^[+\d]/.test(word) ? { to: word.replaceAll(/[\s().\-/\u00a0]/g, "") } : { agent: word };
    });
}

/** Returns targets as they are typed. */
export function targetsText(value: unknown): string {
  if (!Array.isArray(value)) return "";
  return value.map((target) => text(fields(target)["agent"]) ?? text(fields(target)["to"]) ?? "").join(", ");
}

/** Returns the text with one more target. */
export function withTarget(words: string, target: string): string {
  return [...words.split(",").map((word) => word.trim()), target].filter(Boolean).join(", ");
}

/** Whether two JSON values are equal, whatever the order of their members; a member that is null is as good as none. */
function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null && member !== undefined)
      .sort(([x], [y]) => x.localeCompare(y))
      .map(([name, member]) => [name, sorted(member)]),
  );
}
