/** One running call: a line with a summary, which opens to the call's legs, words and SIP messages. */
import { AmdView, drawAmdPill } from "../amd/view.js";
import { type Call, isRunning, statusText, translationNotice } from "../calls.js";
import { h, ICON, icon, setText } from "../dom.js";
import { askToEnd } from "../ending.js";
import { LadderView } from "../ladderview.js";
import { type Legs, type SuperviseMode, trouble } from "../legs.js";
import { LegView } from "../legview.js";
import type { Listening } from "../listening.js";
import { ListeningBar } from "../listeningbar.js";
import { RecordingBar } from "../recordingbar.js";
import { type Recording, recordingNow } from "../recordings.js";
import { SentenceList } from "../sentences.js";
import { may, type Session } from "../session.js";
import { latestWords, type Sentences } from "../translations.js";
import { causeText, duration, languageName } from "../words.js";
import { inCall, type Problem, type State } from "./supervisor.js";
import { LagTrend } from "./trendview.js";

export const MODES: readonly { mode: SuperviseMode; label: string; about: string }[] = [
  { mode: "listen", label: "Listen", about: "Hear the call without being heard" },
  { mode: "whisper", label: "Whisper", about: "Talk to the agent only" },
  { mode: "barge", label: "Barge in", about: "Talk to everybody" },
];

/** Actions that a card requests from its page. */
export interface CardActions {
  pin(call: string): void;
  open(call: string, open: boolean): void;
  supervise(call: string, mode: SuperviseMode): void;
  /** Fetches the call's current recordings. */
  recorded(call: string): Promise<void>;
  /** Takes how the sides of the call listen from now on. */
  listen(call: string, listening: Listening): void;
}

/** The state that a card shows. */
export interface CardState {
  call: Call;
  legs: Legs;
  sentences: Sentences;
  /** `undefined` while unknown. */
  recordings: readonly Recording[] | undefined;
  /** `undefined` while unknown, and in calls that are not translated. */
  listening: Listening | undefined;
  /** Slot in which the call is parked. */
  slot: number | undefined;
  pinned: boolean;
  linked: boolean;
  supervision: State;
  problem: Problem | undefined;
}

export class CallCard {
  readonly element: HTMLElement;
  private readonly title = h("span", { class: "call-parties" });
  private readonly toggle: HTMLButtonElement;
  private readonly status = h("span", { class: "pill", "data-role": "status" });
  private readonly trouble = h("span", { class: "pill", "data-role": "trouble", hidden: true });
  private readonly parked = h("span", { class: "pill", "data-role": "parked", "data-tone": "warn", hidden: true });
  private readonly recorded = h("span", { class: "pill", "data-role": "recording", hidden: true });
  /** Who answered; in an open card the panel shows it. */
  private readonly answered = h("span", { class: "pill", "data-role": "amd", hidden: true });
  private readonly recordings: RecordingBar;
  private readonly listening: ListeningBar;
  private readonly detail = h("span", { class: "muted" });
  private readonly time = h("span", { class: "timer" });
  private readonly latest = h("p", { class: "latest", "data-role": "latest", hidden: true });
  private readonly modes: HTMLElement;
  private readonly modeButtons: readonly HTMLButtonElement[];
  private readonly problem = h("p", { class: "problem", role: "alert", "data-role": "supervise-problem" });
  private readonly pinButton: HTMLButtonElement;
  private readonly endButton: HTMLButtonElement;
  private readonly notice = h("p", { class: "note", "data-role": "notice", hidden: true });
  private readonly amd = new AmdView("live");
  private readonly legs = new LegView();
  private readonly words: SentenceList;
  private readonly ladder: LadderView;
  private readonly empty = h("p", { class: "empty" }, "Nothing has been said yet.");
  private readonly columns = h(
    "div",
    { class: "columns-head", "aria-hidden": "true" },
    h("span", {}, "Original"),
    h("span", {}, "Translation"),
  );
  private readonly trend = new LagTrend();
  private readonly body: HTMLElement;
  private readonly dials: boolean;
  private readonly monitors: boolean;
  private call: Call;

  constructor(call: Call, session: Session, actions: CardActions, open: boolean) {
    this.call = call;
    this.dials = may(session, "calls.dial");
    this.monitors = may(session, "calls.monitor");
    this.ladder = new LadderView(call.id, may(session, "calls.trace"));
    this.recordings = new RecordingBar({ allowed: this.dials, refresh: (id) => actions.recorded(id) });
    const sides = [
      ["customer", "Customer"],
      ["agent", "Agent"],
    ] as const;
    const id = `listening-${call.id}`;
    this.listening = new ListeningBar({ allowed: this.dials, sides, id, onListening: (to, listening) => actions.listen(to, listening) });
    const body = `call-${call.id}`;
    this.toggle = h(
      "button",
      {
        class: "fold-call",
        type: "button",
        "data-role": "open",
        "aria-controls": body,
        onclick: () => actions.open(call.id, !this.isOpen),
      },
      icon(ICON.next),
      this.title,
    );
    this.modeButtons = MODES.map(({ mode, label, about }) =>
      h(
        "button",
        { type: "button", "data-role": mode, title: about, "aria-pressed": "false", onclick: () => actions.supervise(call.id, mode) },
        label,
      ),
    );
    this.modes = h("div", { class: "modes segments", role: "group", "aria-label": "Supervise", hidden: true }, ...this.modeButtons);
    this.pinButton = h(
      "button",
      { class: "quiet square", type: "button", "data-role": "pin", onclick: () => actions.pin(call.id) },
      icon(ICON.pin),
    );
    this.endButton = h(
      "button",
      { class: "quiet danger", type: "button", "data-role": "end", onclick: () => askToEnd(this.call) },
      "End call",
    );
    const link = h(
      "a",
      { class: "button quiet square", href: `#${call.id}`, title: "Link to this call", "aria-label": "Link to this call" },
      icon(ICON.link),
    );
    const whole = h(
      "a",
      { class: "button quiet square", href: `/calls/${call.id}`, title: "Call details", "aria-label": "Call details" },
      icon(ICON.page),
    );
    const list = h("ol", { class: "sentences columns", tabindex: 0 });
    this.words = new SentenceList(list, (leg) => (leg === "agent" ? "Agent" : "Customer"));
    this.body = h(
      "div",
      { id: body, class: "call-body" },
      this.recordings.element,
      this.amd.element,
      this.legs.element,
      this.notice,
      this.listening.element,
      h("div", { class: "words-head" }, this.columns, this.trend.element),
      this.empty,
      list,
      this.ladder.element,
    );
    this.element = h(
      "article",
      { class: "card call", "data-call": call.id, tabindex: -1 },
      h(
        "div",
        { class: "call-head" },
        h("h2", {}, this.toggle),
        h("span", { class: "call-now" }, this.status, this.time),
        this.modes,
        h("span", { class: "tools" }, this.pinButton, link, whole, this.endButton),
      ),
      this.problem,
      h("div", { class: "call-line" }, this.recorded, this.answered, this.parked, this.trouble, this.detail, this.latest),
      this.body,
    );
    this.open(open);
  }

  get isOpen(): boolean {
    return !this.body.hidden;
  }

  open(open: boolean): void {
    this.body.hidden = !open;
    this.element.dataset["open"] = String(open);
    this.toggle.setAttribute("aria-expanded", String(open));
    if (!open) this.ladder.rest();
  }

  /** Stops all work for a card that is no longer shown. */
  rest(): void {
    this.ladder.rest();
  }

  draw(state: CardState): void {
    this.drawHead(state);
    this.drawSupervision(state);
    const latest = this.isOpen ? "" : latestWords(state.sentences);
    this.latest.hidden = latest === "";
    setText(this.latest, latest);
    // In an open card the bar shows each recording.
    if (this.isOpen) this.recorded.hidden = true;
    if (this.isOpen) this.answered.hidden = true;
    else drawAmdPill(this.answered, state.legs);
    // Folded content is not drawn: with fifty calls at once that would be much work for nobody.
    if (this.isOpen) this.drawBody(state);
  }

  drawSupervision({ call, supervision, problem }: Pick<CardState, "call" | "supervision" | "problem">): void {
    const own = inCall(supervision, call.id);
    const talks = call.status === "answered" || call.status === "bridged";
    this.modes.hidden = !this.monitors || !(talks || own);
    this.element.classList.toggle("supervised", own !== undefined);
    this.modes.classList.toggle("busy", own?.busy === true);
    for (const [index, { mode }] of MODES.entries()) this.modeButtons[index]?.setAttribute("aria-pressed", String(own?.wish.mode === mode));
    setText(this.problem, problem?.call === call.id ? problem.text : "");
  }

  tick(): void {
    const { created_at, answered_at, ended_at } = this.call;
    const end = ended_at ? Date.parse(ended_at) : isRunning(this.call) ? Date.now() : Date.parse(answered_at ?? created_at);
    setText(this.time, duration(end - Date.parse(answered_at ?? created_at)));
    if (this.isOpen) this.amd.tick();
  }

  private drawHead({ call, legs, recordings, slot, pinned, linked }: CardState): void {
    this.call = call;
    if (!this.title.hasChildNodes()) {
      const whole = (text: string): HTMLElement => h("span", { class: "whole" }, text);
      this.title.append(whole(call.from ?? "Unknown"), " to ", whole(call.to));
    }
    this.element.dataset["status"] = call.status;
    this.element.classList.toggle("linked", linked);
    this.element.setAttribute("aria-label", `Call from ${call.from ?? "unknown"} to ${call.to}`);
    this.status.dataset["state"] = call.status;
    setText(this.status, isRunning(call) ? statusText(call) : causeText(call.ended_reason));
    const wrong = isRunning(call) ? trouble(legs) : undefined;
    this.trouble.hidden = wrong === undefined;
    this.trouble.dataset["tone"] = wrong?.tone ?? "idle";
    setText(this.trouble, wrong?.text ?? "");
    this.parked.hidden = slot === undefined || !isRunning(call);
    setText(this.parked, slot === undefined ? "" : `Parked in slot ${slot}`);
    const now = isRunning(call) && recordings ? recordingNow(recordings) : undefined;
    this.recorded.hidden = now === undefined;
    this.recorded.dataset["tone"] = now === "paused" ? "warn" : "bad";
    setText(this.recorded, now === "paused" ? "Recording paused" : now === "started" ? "Recording" : "");
    const { translate_from, translate_to, record } = call.config;
    const languages = `${languageName(translate_from)} and ${languageName(translate_to)}`;
    setText(
      this.detail,
      [call.agent ? `Agent ${call.agent}` : "", call.direction, languages, record && recordings === undefined ? "recorded" : ""]
        .filter(Boolean)
        .join(", "),
    );
    this.pinButton.setAttribute("aria-pressed", String(pinned));
    const label = pinned ? "Unpin this call" : "Pin this call on top";
    this.pinButton.title = label;
    this.pinButton.setAttribute("aria-label", label);
    this.endButton.hidden = !isRunning(call) || !this.dials;
    this.tick();
  }

  private drawBody({ call, legs, sentences, recordings, listening }: CardState): void {
    this.recordings.draw({ call: call.id, recordings: recordings ?? [], talks: call.status === "answered" || call.status === "bridged" });
    const notice = translationNotice(call.config);
    this.notice.hidden = notice === undefined;
    setText(this.notice, notice ?? "");
    this.columns.hidden = notice !== undefined || sentences.size === 0;
    this.empty.hidden = sentences.size > 0 || notice !== undefined;
    this.amd.draw(legs);
    this.legs.draw(legs);
    this.words.draw(sentences, call.config.budget_ms);
    this.listening.draw(call.id, isRunning(call) ? listening : undefined);
    this.trend.draw(sentences, call.config.budget_ms);
  }
}
