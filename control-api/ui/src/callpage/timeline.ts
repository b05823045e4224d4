/** What happened in a call, as sentences. */
import { describe, endingText, type FlowState, NO_LEGS, parseEnding, parseSeat, roleName, seatText, type Tone } from "../legs.js";
import { fields, number, text } from "../shapes.js";
import { causeText, duration } from "../words.js";
import type { CallEventRecord } from "./detail.js";

export interface Moment {
  key: string;
  at: string | null;
  /** Since the call began. */
  after: string;
  tone: Tone;
  text: string;
  detail: string;
}

const STATUS: Record<string, string> = {
  queued: "The call waits", ringing: "It rings", answered: "Answered", bridged: "Both sides are connected", ended: "The call ended", failed: "The call failed",
};

/** All events in order, newest last; `began` is when the call was made. */
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
    case "created": return said("idle", "The call was made");
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
      return said("idle", `${who}: ${state === "ringing" ? "rings" : state === "answered" ? "joins" : state === "ended" ? "leaves" : state}`, detail);
    }
    case "seat": {
      const seat = seatText(parseSeat(body), NO_LEGS);
      return said("idle", `${who}: ${seat === "" ? "talks again" : seat.charAt(0).toLowerCase() + seat.slice(1)}`);
    }
    case "active_speaker": return undefined;
    case "flow": return flow(who, body);
    case "transfer": return said("idle", `${who} is transferred: ${word("stage").replaceAll("_", " ")}`, [word("to"), word("cause") && causeText(word("cause"))].filter(Boolean).join(". "));
    case "media_timeout": return said("bad", `${who}: the sound stopped`, number(body["after_s"]) !== null ? `Nothing came for ${number(body["after_s"])} s` : "");
    case "recording": {
      const state = word("state");
      const part = typeof body["part"] === "number" && body["part"] > 1 ? body["part"] : 0;
      return said(state === "interrupted" ? "warn" : "idle", state === "started" ? (part ? `The recording goes on in part ${part}` : "Recording begins") : state === "finished" ? "The recording is complete" : `The recording is ${state}`, word("note"));
    }
    case "dtmf": return said("idle", `${who} pressed ${word("digit")}`);
    case "outcome": return said("good", `Outcome: ${word("outcome") || "none"}`, word("note"));
    case "amd": return said("idle", `Answered by: ${word("verdict").replaceAll("_", " ") || "not known"}`);
    case "quality": return undefined;
    default: return type.startsWith("translation.") ? undefined : said("idle", type.replace(/^call\./, "").replaceAll(/[._]/g, " "));
  }
}

/** Only what is out of the ordinary, or all is well again. */
function flow(who: string, body: Record<string, unknown>): Said {
  const told = fields(body["flow"]);
  const states = (["incoming", "outgoing"] as const).map((direction) => {
    const one = fields(told[direction]);
    const state: FlowState = { state: text(one["state"]) ?? "", detail: text(one["detail"]) };
    return describe(direction, state);
  });
  const order: Tone[] = ["bad", "warn", "idle", "good"];
  const worst = states.reduce((a, b) => (order.indexOf(b.tone) < order.indexOf(a.tone) ? b : a));
  return { tone: worst.tone, text: `${who}: ${states.map(({ label }) => label.charAt(0).toLowerCase() + label.slice(1)).join(", ")}`, detail: worst.why ?? "" };
}
