/**
 * The supervisor's page: every running call with its words and their translation as they are spoken, and supervision of each call.
 *
 *   feed ─ news, four times a second at most ─▶ list, when a call was added or changed ─▶ open cards of calls with news
 *                                                                                       └▶ lines of the others, once a second
 *
 * Invariants: calls without news are not drawn again; the card that the user reads keeps its position on the screen.
 */
import * as api from "../api.js";
import { type Call, isRunning, visibleCalls } from "../calls.js";
import { arrange, h, ICON, icon, setText } from "../dom.js";
import { Feed, type News } from "../feed.js";
import type { SuperviseMode } from "../legs.js";
import { ProviderBar } from "../providerbar.js";
import { may, mayHear } from "../session.js";
import { type Shell, shell } from "../shell.js";
import { start } from "../start.js";
import type { StreamState } from "../stream.js";
import { SupervisionBar } from "./bar.js";
import { CallCard, type CardActions } from "./card.js";
import { keepInPlace } from "./place.js";
import { legDrop, superviseChange, superviseStart } from "./requests.js";
import { type Line, lazyLine, Supervisor } from "./supervisor.js";
import "../live.css";

const PINS = "tandem.pins";
/** Up to this number of calls the cards start open; with more calls they start as lines. */
const OPEN_MAX = 3;
/** Minimum time between two updates. */
const PAUSE_MS = 250;

/** Opens the live page. */
async function livePage(): Promise<void> {
  const frame = await shell("live");
  if (frame) new LivePage(frame).start();
}

class LivePage {
  private readonly feed = new Feed((news) => this.draw(news), undefined, PAUSE_MS);
  private readonly providers = new ProviderBar();
  private readonly cards = new Map<string, CallCard>();
  private readonly pinned = new Set<string>(readPins());
  /** Calls that stay until the page is left: those that were seen running, and the linked one. */
  private readonly keep = new Set<string>();
  private linked = "";
  private stream: StreamState = "connecting";
  private readonly hears: boolean;
  /** Calls with news that have not been drawn yet. */
  private readonly stale = new Set<string>();
  /** New calls that were inserted above the visible part of the list. */
  private readonly above = new Set<string>();

  private readonly supervisor: Supervisor = new Supervisor(
    lazyLine(async () => this.loadLine()),
    { start: superviseStart, change: superviseChange, drop: legDrop },
    () => this.drawSupervision(),
  );
  private readonly bar = new SupervisionBar({
    ask: (wish) => {
      const { state } = this.supervisor;
      if (state.phase !== "idle") void this.supervisor.ask(state.call, wish);
    },
    leave: () => this.supervisor.leave(),
    show: (call) => this.show(call),
  });
  private readonly actions: CardActions = {
    pin: (id) => this.pin(id),
    open: (id, open) => this.open(id, open),
    supervise: (id, mode) => this.supervise(id, mode),
    recorded: (id) => this.feed.fetchRecordings(id),
    listen: (id, listening) => this.feed.setListening(id, listening),
  };

  private readonly filter = h("input", {
    id: "filter",
    type: "search",
    placeholder: "Number, agent or status",
    "aria-label": "Filter calls",
  });
  private readonly count = h("span", { id: "call-count", class: "muted", role: "status" });
  private readonly list = h("div", { id: "calls", class: "calls" });
  private readonly fresh = h("button", { id: "live-fresh", class: "primary", type: "button", hidden: true, onclick: () => this.toTop() });
  private readonly empty = h(
    "div",
    { id: "calls-empty", class: "card empty" },
    h("h2", {}, "No calls are running"),
    h("p", {}, "Calls appear here automatically, with every word as it is spoken."),
  );
  private readonly noticeHint = h(
    "p",
    { id: "live-notice", class: "hint", hidden: true },
    "Notice tone: the parties of a call hear a tone when you listen, whisper or barge in.",
  );
  private readonly message = h("p", { id: "live-message", class: "problem", role: "alert" });

  constructor(private readonly frame: Shell) {
    this.hears = mayHear(frame.session);
    frame.main.replaceChildren(
      h(
        "div",
        { class: "live" },
        h("div", { class: "head" }, h("h1", {}, "Live calls"), this.count, this.filter),
        this.providers.element,
        this.noticeHint,
        this.message,
        this.fresh,
        this.empty,
        this.list,
        this.bar.element,
      ),
    );
  }

  start(): void {
    this.filter.addEventListener("input", () => this.drawList());
    window.addEventListener("hashchange", () => void this.openLink());
    window.addEventListener("scroll", () => this.look(), { passive: true });
    // Durations grow even without events.
    setInterval(() => this.everySecond(), 1000);
    this.feed.start();
    if (may(this.frame.session, "calls.monitor") && may(this.frame.session, "voice.read")) void this.loadHandling();
    void this.openLink();
    this.drawList();
  }

  private async loadHandling(): Promise<void> {
    const handling = await api.callHandling().catch(() => undefined);
    this.bar.notice = handling?.supervisionNotice === true;
    this.noticeHint.hidden = !this.bar.notice;
  }

  private async openLink(): Promise<void> {
    this.linked = decodeURIComponent(location.hash.slice(1));
    if (!/^[\w-]{8,64}$/.test(this.linked)) this.linked = "";
    setText(this.message, "");
    if (this.linked === "") {
      this.drawList();
      return;
    }
    this.keep.add(this.linked);
    const wanted = this.linked;
    if (!this.feed.calls.has(wanted) && !(await this.feed.fetchCall(wanted)) && wanted === this.linked) {
      setText(this.message, "The call of this link was not found.");
    }
    this.drawList();
    this.show(wanted);
  }

  private draw(news: News): void {
    this.frame.connection(this.feed.state);
    if (this.feed.state === "live" && this.stream !== "live" && may(this.frame.session, "calls.dial")) void this.feed.fetchSlots();
    this.stream = this.feed.state;
    this.providers.draw(this.feed.providers);
    if (news.list) {
      this.drawList();
      return;
    }
    for (const id of news.calls) this.stale.add(id);
    const open = [...this.stale].filter((id) => this.cards.get(id)?.isOpen === true);
    if (open.length > 0) keepInPlace(this.list, () => this.drawStale(open));
    if (news.calls.has(this.supervised)) this.drawSupervision();
  }

  /** Draws lines with news and all durations; a line need not show every word at once. */
  private everySecond(): void {
    this.drawStale([...this.stale]);
    for (const card of this.cards.values()) card.tick();
  }

  private drawStale(ids: readonly string[]): void {
    for (const id of ids) {
      this.stale.delete(id);
      const [card, call] = [this.cards.get(id), this.feed.calls.get(id)];
      if (card && call) this.drawCard(card, call);
    }
  }

  private drawList(): void {
    for (const call of this.feed.calls.values()) if (isRunning(call)) this.keep.add(call.id);
    const calls = visibleCalls(this.feed.calls, { filter: this.filter.value, pinned: this.pinned, keep: this.keep });
    const running = [...this.feed.calls.values()].filter(isRunning).length;
    setText(this.count, running === 1 ? "1 running" : `${running} running`);
    this.empty.hidden = calls.length > 0;
    setText(this.empty.querySelector("h2") ?? this.empty, this.filter.value ? "No calls match the filter" : "No calls are running");
    const known = new Set(this.cards.keys());
    this.stale.clear();
    keepInPlace(this.list, () => {
      const cards = calls.map((call) => this.card(call, calls.length));
      arrange(
        this.list,
        cards.map(({ element }) => element),
      );
      const shown = new Set(cards);
      for (const [id, card] of this.cards) {
        if (shown.has(card)) continue;
        card.rest();
        this.cards.delete(id);
      }
    });
    if (known.size > 0) for (const call of calls) if (!known.has(call.id)) this.above.add(call.id);
    this.look();
    this.drawSupervision();
  }

  private card(call: Call, among: number): CallCard {
    let card = this.cards.get(call.id);
    if (!card) {
      const open = among <= OPEN_MAX || call.id === this.linked || this.pinned.has(call.id);
      card = new CallCard(call, this.frame.session, this.actions, open);
      this.cards.set(call.id, card);
    }
    this.drawCard(card, call);
    return card;
  }

  private drawCard(card: CallCard, call: Call): void {
    const { id } = call;
    if (card.isOpen) {
      this.feed.follow(id);
      if (this.hears) this.feed.followRecordings(id);
    } else this.feed.followLegs(id);
    card.draw({
      call,
      legs: this.feed.legs(id),
      sentences: this.feed.sentences(id),
      recordings: this.feed.recordings(id),
      listening: this.feed.listening(id),
      slot: this.feed.slot(id),
      pinned: this.pinned.has(id),
      linked: id === this.linked,
      supervision: this.supervisor.state,
      problem: this.supervisor.problem,
    });
  }

  private async loadLine(): Promise<Line> {
    const { SupervisorLine } = await import("./line.js");
    const line = new SupervisorLine(() => this.supervisor.lineEnded());
    this.frame.main.append(line.audio);
    return line;
  }

  private get supervised(): string {
    const { state } = this.supervisor;
    return state.phase === "idle" ? "" : state.call;
  }

  private drawSupervision(): void {
    const { state, problem } = this.supervisor;
    for (const [id, card] of this.cards) {
      const call = this.feed.calls.get(id);
      if (call) card.drawSupervision({ call, supervision: state, problem });
    }
    this.bar.draw(state, this.feed.calls.get(this.supervised), this.feed.legs(this.supervised));
    this.frame.main.classList.toggle("supervising", state.phase !== "idle");
    this.frame.keepPage(state.phase === "idle" ? undefined : () => this.supervisor.leave());
  }

  private supervise(id: string, mode: SuperviseMode): void {
    void this.supervisor.ask(id, { mode, to: null });
  }

  private open(id: string, open: boolean): void {
    const [card, call] = [this.cards.get(id), this.feed.calls.get(id)];
    if (!card || !call) return;
    card.open(open);
    this.drawCard(card, call);
  }

  private show(id: string): void {
    this.open(id, true);
    this.cards.get(id)?.element.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  /** Shows how many new calls are above the visible part, until the user has seen them. */
  private look(): void {
    if (this.above.size === 0 && this.fresh.hidden) return;
    for (const id of this.above) {
      const box = this.cards.get(id)?.element.getBoundingClientRect();
      if (!box || box.bottom > 0) this.above.delete(id);
    }
    this.fresh.hidden = this.above.size === 0;
    if (!this.fresh.hidden)
      this.fresh.replaceChildren(icon(ICON.up), this.above.size === 1 ? "1 new call" : `${this.above.size} new calls`);
  }

  private toTop(): void {
    window.scrollTo({ top: 0, behavior: "smooth" });
  }

  private pin(id: string): void {
    if (!this.pinned.delete(id)) this.pinned.add(id);
    writePins(this.pinned);
    this.drawList();
  }
}

function readPins(): string[] {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(PINS) ?? "[]");
    return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

function writePins(pins: ReadonlySet<string>): void {
  try {
    sessionStorage.setItem(PINS, JSON.stringify([...pins]));
  } catch {
    // Without storage the pins are lost when the page is closed.
  }
}

start(livePage);
