/**
 * The page of one call: recording, transcript with translation, call program, legs and their quality, SIP messages, outcome, notes and
 * events.
 *
 *   GET call, transcript, outcome, notes ─▶ page ◀─ feed, while the call runs
 *
 * A running call is followed by the feed. After its end the stored data is fetched several times, until the recording is complete.
 */
import { isTransient } from "../amd/state.js";
import { AmdView } from "../amd/view.js";
import * as api from "../api.js";
import { parties, talkTime } from "../calllist/row.js";
import { type Call, directionText, isRunning, statusText, translationNotice } from "../calls.js";
import { arrange, h, ICON, icon, setText } from "../dom.js";
import { askToEnd } from "../ending.js";
import { Feed } from "../feed.js";
import { LadderView } from "../ladderview.js";
import type { Legs } from "../legs.js";
import { LegView } from "../legview.js";
import { RecordingBar } from "../recordingbar.js";
import { isRecording, type Recording, singleRecording } from "../recordings.js";
import { may, mayHear } from "../session.js";
import { type Shell, shell } from "../shell.js";
import { start } from "../start.js";
import type { StreamState } from "../stream.js";
import { NO_SENTENCES, type Sentences } from "../translations.js";
import { causeText, dateTime, duration, languageName } from "../words.js";
import { type CallDetail, isSame, parseEvent } from "./detail.js";
import { type Line, mergeLines } from "./lines.js";
import { programHistory } from "./program.js";
import { ProgramView } from "./programview.js";
import { RecordingView } from "./recordingview.js";
import { NotesPanel, OutcomePanel } from "./remarks.js";
import { detailShow, recordingList, transcriptList } from "./requests.js";
import { type Moment, timeline } from "./timeline.js";
import { legTracks, recordingTracks } from "./tracks.js";
import { TracksView } from "./tracksview.js";
import { TranscriptView } from "./transcript.js";

/** Pauses before the fetches after a call's end, while the server still stores its last data. */
const AFTER_END_MS = [500, 2_000, 6_000, 20_000];

/** Opens the page of the call that the address names, or the list if it names none. */
async function callPage(): Promise<void> {
  const [, id] = /^\/calls\/([\w-]+)$/.exec(location.pathname) ?? [];
  if (id === undefined) {
    location.replace("/calls");
    return;
  }
  const frame = await shell("calls");
  if (!frame) return;
  frame.main.replaceChildren(h("div", { class: "page" }, h("p", { class: "empty", role: "status" }, "Loading …")));
  try {
    new CallPage(frame, await detailShow(id)).start();
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 401) {
      api.toLogin();
      return;
    }
    const gone = error instanceof api.ApiError && (error.status === 404 || error.status === 422 || error.status === 400);
    frame.main.replaceChildren(
      h(
        "div",
        { class: "narrow" },
        h(
          "div",
          { id: "call-missing", class: "card stack", role: "alert" },
          h("h1", {}, gone ? "There is no such call" : "This call cannot be shown"),
          h(
            "p",
            {},
            gone
              ? "It may belong to somebody else, or have been deleted."
              : error instanceof Error
                ? error.message
                : "Something went wrong.",
          ),
          h("a", { class: "button primary", href: "/calls" }, "All calls"),
        ),
      ),
    );
  }
}

class CallPage {
  private readonly id: string;
  private readonly hears: boolean;
  private feed: Feed | undefined;
  private stream: StreamState = "connecting";
  private stored: Line[] = [];
  private storedProblem = "";
  private sounds: RecordingView | undefined;
  private readonly recordingNow: RecordingBar;
  private readonly soundNote = h("p", {});
  /** All recordings, once fetched; until then the call's own record has the first one. */
  private recordings: Recording[] | undefined;
  /** The data that was drawn last, for parts that change rarely. */
  private readonly drawn: { events?: CallDetail["events"] } = {};

  private readonly title = h("h1", {});
  private readonly status = h("span", { id: "call-status", class: "pill", role: "status" });
  private readonly time = h("span", { id: "call-time", class: "timer" });
  private readonly end = h("button", { id: "call-end", class: "bad", type: "button", hidden: true }, icon(ICON.hangup), "End call");
  private readonly facts = h("dl", { id: "call-facts", class: "facts call-facts" });
  private readonly sound = h("div", { class: "sound" });
  private readonly transcript: TranscriptView;
  private readonly moments = h("ol", { id: "events", class: "moments" });
  private readonly legs = new LegView();
  private readonly amd = new AmdView("record");
  private readonly amdPanel: HTMLElement;
  private readonly tracks = new TracksView();
  private readonly program = new ProgramView();
  private readonly noLegs = h("p", { class: "muted", hidden: true }, "This call had no legs.");
  private readonly ladder: LadderView;
  private readonly outcome: OutcomePanel;
  private readonly notes: NotesPanel;

  constructor(
    private readonly frame: Shell,
    private detail: CallDetail,
  ) {
    const { session } = frame;
    const { call } = detail;
    this.id = call.id;
    this.hears = mayHear(session);
    const words = new URLSearchParams(location.hash.slice(1)).get("q") ?? "";
    this.transcript = new TranscriptView(words, (seconds) => this.sounds?.player.seek(seconds, true));
    this.ladder = new LadderView(call.id, may(session, "calls.trace"));
    this.ladder.element.classList.add("card");
    this.outcome = new OutcomePanel(call.id, session);
    this.notes = new NotesPanel(call.id, session);
    this.end.addEventListener("click", () => askToEnd(this.detail.call));
    this.title.append(...parties(call));
    document.title = `${call.from ?? "Unknown"} to ${call.to} · Tandem`;
    this.recordingNow = new RecordingBar({ allowed: may(session, "calls.dial"), refresh: () => this.loadRecordings() });
    this.sound.append(this.recordingNow.element, this.soundNote);
    const panel = (title: string, ...content: Node[]): HTMLElement =>
      h("section", { class: "card panel", "aria-label": title }, h("h2", {}, title), ...content);
    const quality = panel("Legs", this.tracks.element, this.noLegs, this.legs.element);
    this.amdPanel = panel("Who answered", this.amd.element);
    this.amdPanel.id = "answered";
    // In a single column these parts come last, because they are read least.
    for (const last of [this.program.element, quality, this.ladder.element]) last.classList.add("last");
    frame.main.replaceChildren(
      h(
        "div",
        { class: "page call-page", "data-call": call.id },
        h("a", { class: "back", href: "/calls", onclick: back }, icon(ICON.back), "Calls"),
        h("div", { class: "head" }, this.title, this.status, this.time, this.end),
        h("section", { class: "card", "aria-label": "Summary" }, this.facts),
        h(
          "div",
          { class: "call-columns" },
          h(
            "div",
            { class: "stack wide-gap" },
            panel("Recording", this.sound),
            this.amdPanel,
            this.transcript.element,
            this.program.element,
            quality,
            this.ladder.element,
          ),
          h("div", { class: "stack wide-gap" }, this.outcome.element, this.notes.element, panel("What happened", this.moments)),
        ),
      ),
    );
  }

  start(): void {
    this.draw();
    void this.loadTranscript();
    void this.loadRecordings();
    void this.outcome.load();
    void this.notes.load();
    window.addEventListener("pagehide", () => this.sounds?.player.rest());
    if (isRunning(this.detail.call)) this.followLive();
  }

  private followLive(): void {
    this.feed = new Feed(
      () => this.onNews(),
      (name, data) => this.onEvent(name, data),
    );
    this.feed.start();
    this.feed.follow(this.id);
    void this.feed.fetchCall(this.id);
    setInterval(() => {
      this.drawTime();
      if (isRunning(this.detail.call)) this.drawTracks();
    }, 1000);
  }

  /** Handles news of the feed, which may concern this call. */
  private onNews(): void {
    if (!this.feed) return;
    this.frame.connection(this.feed.state);
    // Events from before the stream began or during an interruption are only in the store.
    if (this.feed.state === "live" && this.stream !== "live") void this.reload();
    this.stream = this.feed.state;
    const before = this.detail.call;
    const call = this.feed.calls.get(this.id) ?? before;
    this.detail = { ...this.detail, call };
    this.draw();
    if (isRunning(before) && !isRunning(call)) void this.settle();
  }

  private onEvent(name: string, data: unknown): void {
    if (!name.startsWith("call.") || name === "call.quality" || isTransient(data)) return;
    const event = parseEvent(data);
    if (!event || event.body["call_id"] !== this.id || this.detail.events.some((known) => isSame(known, event))) return;
    this.detail = { ...this.detail, events: [...this.detail.events, event] };
    this.drawEvents(this.detail.call);
    // Recordings, legs and parking are shown while the call runs.
    if (/^call\.(recording|leg|parked|unparked)$/.test(event.type)) void this.reload();
  }

  /** Fetches the last words, events and recording, which arrive within seconds of the call's end. */
  private async settle(): Promise<void> {
    for (const wait of AFTER_END_MS) {
      await new Promise((done) => setTimeout(done, wait));
      await this.reload();
      await this.loadTranscript();
      if (!this.shownRecordings().some(isRecording)) return;
    }
  }

  private async reload(): Promise<void> {
    const detail = await detailShow(this.id).catch(() => undefined);
    if (!detail) return;
    this.detail = detail;
    this.draw();
    await this.loadRecordings();
  }

  private async loadRecordings(): Promise<void> {
    if (!this.hears) return;
    const recordings = await recordingList(this.id).catch(() => this.recordings);
    if (recordings) this.recordings = recordings;
    this.drawSound(this.detail.call);
    this.drawTranscript();
    this.drawTracks();
  }

  private shownRecordings(): Recording[] {
    return this.recordings ?? singleRecording(this.detail.parts);
  }

  private async loadTranscript(): Promise<void> {
    try {
      this.stored = await transcriptList(this.id);
      this.storedProblem = "";
    } catch (error) {
      this.storedProblem = error instanceof Error ? `The transcript cannot be shown. ${error.message}` : "The transcript cannot be shown.";
    }
    this.drawTranscript();
  }

  private draw(): void {
    const { call } = this.detail;
    this.status.dataset["state"] = call.status;
    setText(this.status, endReason(call) || statusText(call));
    this.end.hidden = !isRunning(call) || !may(this.frame.session, "calls.dial");
    this.drawTime();
    this.drawFacts(call);
    this.drawSound(call);
    this.drawTranscript();
    this.drawLegs(this.feed && this.feed.legs(this.id).size > 0 ? this.feed.legs(this.id) : this.detail.legs);
    this.drawEvents(call);
  }

  private drawTime(): void {
    const { call } = this.detail;
    const talked = talkTime(call, Date.now());
    setText(this.time, call.answered_at === null ? "" : duration(talked));
  }

  private drawFacts(call: Call): void {
    const { config } = call;
    const now = Date.now();
    const waited =
      call.answered_at === null ? "Not answered" : `after ${duration(Date.parse(call.answered_at) - Date.parse(call.created_at))}`;
    const languages = `${languageName(config.translate_from)} (customer), ${languageName(config.translate_to)} (agent)`;
    const all: [string, string][] = [
      ["Started", dateTime(call.created_at, now, true)],
      ["Answered", waited],
      ["Agent", call.agent ?? "None"],
      ["Direction", directionText(call)],
      ["Languages", config.live_translate ? languages : config.transcribe ? "Transcribed only" : "Not translated"],
      ...(isRunning(call) ? [] : [["Ended", dateTime(call.ended_at, now, true)] as [string, string]]),
    ];
    arrange(
      this.facts,
      all.map(([term, value], index) => {
        const old = this.facts.children[index];
        if (old?.firstElementChild?.textContent === term && old.lastElementChild) {
          setText(old.lastElementChild, value);
          return old;
        }
        return h("div", {}, h("dt", {}, term), h("dd", {}, value));
      }),
    );
  }

  private drawSound(call: Call): void {
    const recordings = this.shownRecordings().filter(({ parts }) => parts.length > 0);
    const talks = call.status === "answered" || call.status === "bridged";
    this.recordingNow.draw({
      call: this.id,
      recordings: this.hears ? this.shownRecordings() : (this.feed?.recordings(this.id) ?? []),
      talks,
    });
    if (!this.hears) {
      setText(this.soundNote, "Your role may not hear this recording.");
      return;
    }
    if (recordings.length === 0) {
      setText(
        this.soundNote,
        isRunning(call) && call.config.record
          ? "Recording starts when the call is answered."
          : call.config.record
            ? may(this.frame.session, "recordings.read")
              ? "There is no recording of this call."
              : "There is no recording from your time in this call."
            : "This call was not recorded, because recording was off.",
      );
      return;
    }
    if (!this.sounds) {
      const sounds = new RecordingView(this.id, () => this.drawTranscript());
      this.sounds = sounds;
      sounds.player.audio.addEventListener("timeupdate", () => this.transcript.follow(sounds.player.audio.currentTime));
      this.soundNote.replaceWith(sounds.element);
    }
    this.sounds.draw(recordings);
  }

  private drawTranscript(): void {
    const { call } = this.detail;
    const sentences: Sentences = this.feed?.sentences(this.id) ?? NO_SENTENCES;
    const lines = mergeLines(this.stored, sentences);
    const empty =
      this.storedProblem ||
      (translationNotice(call.config) ??
        (isRunning(call) ? "Listening. Words appear here as they are spoken." : "Nothing was said, or nothing was recognised."));
    this.transcript.draw(lines, this.hears ? (this.sounds?.player.startedAt ?? null) : null, empty);
  }

  private drawLegs(legs: Legs): void {
    this.amd.draw(legs);
    this.amdPanel.hidden = this.amd.element.hidden;
    this.legs.draw(legs);
    this.drawTracks();
  }

  private drawTracks(): void {
    const { times, events, call, legs } = this.detail;
    const until = call.ended_at ?? (isRunning(call) ? Date.now() : (events.at(-1)?.at ?? call.created_at));
    const tracks = legTracks(times, events, legs, call.created_at, until);
    const recorded = this.hears ? recordingTracks(this.shownRecordings(), call.created_at, until) : [];
    this.tracks.draw({ ...tracks, tracks: [...tracks.tracks, ...recorded] }, new Map(times.map((leg) => [leg.leg, leg])));
    this.noLegs.hidden = times.length > 0;
  }

  private drawEvents(call: Call): void {
    const { events } = this.detail;
    if (events === this.drawn.events) return;
    this.drawn.events = events;
    const known = new Map([...this.moments.children].map((one) => [(one as HTMLElement).dataset["event"], one]));
    this.program.draw(programHistory(events, call.created_at));
    const moments = timeline(events, call.created_at);
    const drawn = (moment: Moment): Element =>
      known.get(moment.key) ??
      h(
        "li",
        { "data-event": moment.key, "data-tone": moment.tone },
        h("time", { datetime: moment.at, title: dateTime(moment.at, Date.now(), true) }, moment.after),
        h("div", {}, moment.text, moment.detail && h("span", { class: "muted" }, moment.detail)),
      );
    arrange(this.moments, moments.map(drawn));
  }
}

/** Returns the reason for the call's end; "" for a running call and a normal end. */
function endReason(call: Call): string {
  return isRunning(call) || call.ended_reason === null || call.ended_reason === "normal" ? "" : causeText(call.ended_reason);
}

/** Goes back in the browser's history if the user came from the list, which then looks as before. */
function back(event: Event): void {
  let from: URL | undefined;
  try {
    from = new URL(document.referrer);
  } catch {
    return;
  }
  if (from.origin !== location.origin || from.pathname !== "/calls" || history.length < 2) return;
  event.preventDefault();
  history.back();
}

start(callPage);
