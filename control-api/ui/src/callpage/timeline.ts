/** The events of a call as sentences. */
import { applyAmdEvent, currentVerdict } from "../amd/state.js";
import { answerTone, capital, followedText, foundText, frequencies, messageAfterText, messageEndText, verdictText } from "../amd/words.js";
import { describe, endingText, type FlowState, NO_LEGS, parseEnding, parseSeat, roleName, seatText, type Tone } from "../legs.js";
import { fields, number, text } from "../shapes.js";
import { causeText, duration } from "../words.js";
import type { CallEventRecord } from "./detail.js";
import { endText } from "./program.js";

/** One line of the list of events. */
export interface Moment {
  key: string;
  at: string | null;
  /** Time since the start of the call. */
  after: string;
  tone: Tone;
  text: string;
  detail: string;
}

const STATUS: Record<string, string> = {
  queued: "The call is queued",
  ringing: "Ringing",
  answered: "Answered",
  bridged: "Both sides are connected",
  ended: "The call ended",
  failed: "The call failed",
};

/** Returns a line for each event worth showing, newest last. `began`: start of the call. */
export function timeline(events: readonly CallEventRecord[], began: string): Moment[] {
  return events.flatMap((event, index) => {
    const said = describeEvent(event);
    if (!said) return [];
    const after = duration(Date.parse(event.at ?? "") - Date.parse(began));
    return [{ key: String(event.id ?? `n${index}`), at: event.at, after: event.at === null ? "" : after, ...said }];
  });
}

type Said = Pick<Moment, "tone" | "text" | "detail">;

function describeEvent({ type, body }: CallEventRecord): Said | undefined {
  const who = roleName(text(body["role"]) ?? "");
  const word = (name: string): string => text(body[name]) ?? "";
  const said = (tone: Tone, words: string, detail = ""): Said => ({ tone, text: words, detail });
  switch (type.replace(/^call\./, "")) {
    case "created":
      return said("idle", "The call was created");
    case "status": {
      const status = word("status");
      const reason = text(body["cause"]);
      const cause = reason === null || reason === "normal" ? "" : causeText(reason);
      return said(status === "failed" ? "bad" : status === "ended" ? "idle" : "good", STATUS[status] ?? status, cause);
    }
    case "leg": {
      const state = word("state");
      const told = parseEnding(body["ending"]);
      const ending = state === "ended" ? endingText(told, told?.sipStatus === null) : "";
      const detail = [word("peer"), word("codec"), ending].filter(Boolean).join(", ");
      return said(
        "idle",
        `${who}: ${state === "ringing" ? "rings" : state === "answered" ? "joins" : state === "ended" ? "leaves" : state}`,
        detail,
      );
    }
    case "seat": {
      const seat = seatText(parseSeat(body), NO_LEGS);
      return said("idle", `${who}: ${seat === "" ? "talks again" : seat.charAt(0).toLowerCase() + seat.slice(1)}`);
    }
    // The events of their legs show this already.
    case "active_speaker":
    case "joined":
    case "left":
      return undefined;
    case "play":
      return PLAY[word("state")] === undefined
        ? undefined
        : said(word("state") === "failed" ? "warn" : "idle", PLAY[word("state")] ?? "", word("note"));
    case "gathered":
      return said("idle", `Digits were collected: ${word("digits") || "none"}`);
    case "flow":
      return flow(who, body);
    case "transfer":
      return said(
        "idle",
        `${who} is transferred: ${word("stage").replaceAll("_", " ")}`,
        [word("to"), word("cause") && causeText(word("cause"))].filter(Boolean).join(". "),
      );
    case "media_timeout":
      return said(
        "bad",
        `${who}: the sound stopped`,
        number(body["after_s"]) !== null ? `Nothing arrived for ${number(body["after_s"])} s` : "",
      );
    case "recording":
      return recording(body);
    case "parked":
      return said(
        "warn",
        `${who === "Party" ? "The caller" : who} is parked in slot ${number(body["slot"]) ?? ""}`.trim(),
        word("parked_by") && `By ${word("parked_by")}`,
      );
    case "unparked":
      return said("idle", UNPARKED[word("why")] ?? "The call is no longer parked");
    case "program":
      return program(body);
    case "dtmf":
      return said("idle", `${who} pressed ${word("digit")}`);
    case "outcome":
      return said("good", `Outcome: ${word("outcome") || "none"}`, word("note"));
    case "amd":
      return detection(body);
    case "quality":
      return undefined;
    default:
      return type.startsWith("translation.") ? undefined : said("idle", type.replace(/^call\./, "").replaceAll(/[._]/g, " "));
  }
}

const PLAY: Record<string, string> = {
  started: "A prompt is played",
  stopped: "The prompt was stopped",
  failed: "The prompt could not be played",
};

const UNPARKED: Record<string, string> = {
  picked_up: "The parked call was picked up",
  returned: "Nobody picked up the parked call, so it returns to the agent who parked it",
  given_up: "Nobody picked up the parked call, so it ends",
  ended: "The parked call ended",
};

const RECORDING: Record<string, string> = {
  started: "Recording started",
  finished: "The recording is complete",
  paused: "The recording is paused",
  resumed: "The recording was resumed",
  interrupted: "The recording was interrupted",
};

function recording(body: Record<string, unknown>): Said {
  const [state, note] = [text(body["state"]) ?? "", text(body["note"]) ?? ""];
  const [which, part] = [number(body["number"]) ?? 1, number(body["part"]) ?? 1];
  const words =
    state === "started" && part > 1 ? `The recording continues in part ${part}` : (RECORDING[state] ?? `The recording is ${state}`);
  const tone = state === "interrupted" || state === "paused" ? "warn" : "idle";
  return { tone, text: which > 1 ? words.replace(/^(The r|R)ecording/, `Recording ${which}`) : words, detail: note };
}

/** The detection on one leg; what is only heard is not an event worth showing. */
function detection(body: Record<string, unknown>): Said | undefined {
  const amd = applyAmdEvent(null, body);
  if (!amd) return undefined;
  const verdict = currentVerdict(amd);
  const said = (tone: Tone, words: string, detail = ""): Said => ({ tone, text: words, detail });
  switch (body["stage"]) {
    case "listening":
      return said("idle", "Listening to find out who answered");
    case "verdict":
      return verdict && said(answerTone(verdict.verdict), `Answered by: ${verdictText(verdict)}`, capital(followedText(verdict.action)));
    case "revised":
      return amd.revised ? said(answerTone(amd.revised.verdict), capital(foundText(amd.revised))) : undefined;
    case "greeting_end":
      return said("idle", "The greeting has ended");
    case "beep":
      return said("idle", "A beep was heard", frequencies(amd.beeps[0]?.hz ?? []));
    case "message_begun":
      return said("good", "A message is being left", capital(messageAfterText(amd.message.after)));
    case "message_left":
      return said(amd.message.end === "left" ? "good" : "warn", capital(messageEndText(amd.message.end)));
    default:
      return undefined;
  }
}

/** A program's steps are shown in their own list, so only its fallback and end are events. */
function program(body: Record<string, unknown>): Said | undefined {
  const [state, detail] = [text(body["state"]) ?? "", text(body["detail"]) ?? ""];
  if (state === "fell_back") return { tone: "warn", text: "The fallback program takes over", detail };
  return state === "ended"
    ? { tone: "idle", text: `The call program has ended: ${endText(text(body["outcome"]) ?? "").toLowerCase()}`, detail }
    : undefined;
}

/** Describes both directions of a leg's sound; the worse one sets tone and detail. */
function flow(who: string, body: Record<string, unknown>): Said {
  const told = fields(body["flow"]);
  const states = (["incoming", "outgoing"] as const).map((direction) => {
    const one = fields(told[direction]);
    const state: FlowState = { state: text(one["state"]) ?? "", detail: text(one["detail"]) };
    return describe(direction, state);
  });
  const order: Tone[] = ["bad", "warn", "idle", "good"];
  const worst = states.reduce((a, b) => (order.indexOf(b.tone) < order.indexOf(a.tone) ? b : a));
  return {
    tone: worst.tone,
    text: `${who}: ${states.map(({ label }) => label.charAt(0).toLowerCase() + label.slice(1)).join(", ")}`,
    detail: worst.why ?? "",
  };
}
