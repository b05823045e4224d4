/** The supervisor's page: every running call, what is said and what it means, while it is said. */
import { isRunning, statusText, translationNotice, visibleCalls, type Call } from "../calls.js";
import { arrange, h, icon, ICON, setText } from "../dom.js";
import { askToEnd } from "../ending.js";
import { Feed } from "../feed.js";
import { LadderView } from "../ladderview.js";
import type { Legs } from "../legs.js";
import { LegView } from "../legview.js";
import { ProviderBar } from "../providerbar.js";
import { SentenceList } from "../sentences.js";
import { may, type Session } from "../session.js";
import { shell, type Shell } from "../shell.js";
import { causeText, duration, languageName } from "../words.js";
import { keepInPlace } from "./place.js";

const PINS = "tandem.pins";

export async function livePage(): Promise<void> {
  const frame = await shell("live");
  if (frame) new LivePage(frame).start();
}

class LivePage {
  private readonly feed = new Feed(() => this.draw());
  private readonly providers = new ProviderBar();
  private readonly cards = new Map<string, CallCard>();
  private readonly pinned = new Set<string>(readPins());
  /** Calls that were seen running stay until the page is left, and the one of the link. */
  private readonly keep = new Set<string>();
  private linked = "";

  private readonly filter = h("input", { id: "filter", type: "search", placeholder: "Number, agent or status", "aria-label": "Filter calls" });
  private readonly count = h("span", { id: "call-count", class: "muted", role: "status" });
  private readonly list = h("div", { id: "calls", class: "calls" });
  private readonly empty = h("div", { id: "calls-empty", class: "card empty" },
    h("h2", {}, "No call is running"), h("p", {}, "Calls appear here by themselves, with every word while it is spoken."));
  private readonly message = h("p", { id: "live-message", class: "problem", role: "alert" });

  constructor(private readonly frame: Shell) {
    frame.main.replaceChildren(
      h("div", { class: "live" },
        h("div", { class: "head" }, h("h1", {}, "Live calls"), this.count, this.filter),
        this.providers.element, this.message, this.empty, this.list));
  }

  start(): void {
    this.filter.addEventListener("input", () => this.draw());
    window.addEventListener("hashchange", () => void this.openLink());
    // Durations grow without events.
    setInterval(() => this.cards.forEach((card) => card.tick()), 1000);
    this.feed.start();
    void this.openLink();
    this.draw();
  }

  private async openLink(): Promise<void> {
    this.linked = decodeURIComponent(location.hash.slice(1));
    if (!/^[\w-]{8,64}$/.test(this.linked)) this.linked = "";
    setText(this.message, "");
    if (this.linked === "") return this.draw();
    this.keep.add(this.linked);
    const wanted = this.linked;
    if (!this.feed.calls.has(wanted) && !(await this.feed.fetchCall(wanted)) && wanted === this.linked) {
      setText(this.message, "The call of this link was not found.");
    }
    this.draw();
    this.cards.get(wanted)?.element.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  private draw(): void {
    this.frame.connection(this.feed.state);
    this.providers.draw(this.feed.providers);
    for (const call of this.feed.calls.values()) if (isRunning(call)) this.keep.add(call.id);
    const calls = visibleCalls(this.feed.calls, { filter: this.filter.value, pinned: this.pinned, keep: this.keep });
    const running = [...this.feed.calls.values()].filter(isRunning).length;
    setText(this.count, running === 1 ? "1 running" : `${running} running`);
    this.empty.hidden = calls.length > 0;
    setText(this.empty.querySelector("h2") ?? this.empty, this.filter.value ? "No call matches the filter" : "No call is running");
    const elements = calls.map((call) => this.card(call).element);
    keepInPlace(this.list, () => arrange(this.list, elements));
    for (const [id, card] of this.cards) {
      if (calls.some((call) => call.id === id)) continue;
      card.rest();
      this.cards.delete(id);
    }
  }

  private card(call: Call): CallCard {
    let card = this.cards.get(call.id);
    if (!card) {
      card = new CallCard(call, this.frame.session, (id) => this.pin(id));
      this.cards.set(call.id, card);
    }
    this.feed.follow(call.id);
    card.draw(call, this.pinned.has(call.id), call.id === this.linked);
    card.drawLegs(this.feed.legs(call.id));
    card.words.draw(this.feed.sentences(call.id));
    card.drawEmpty(this.feed.sentences(call.id).size === 0);
    return card;
  }

  private pin(id: string): void {
    if (!this.pinned.delete(id)) this.pinned.add(id);
    writePins(this.pinned);
    this.draw();
  }
}

class CallCard {
  readonly element: HTMLElement;
  readonly words: SentenceList;
  private readonly title = h("h2", {});
  private readonly status = h("span", { class: "pill", "data-role": "status" });
  private readonly detail = h("span", { class: "muted" });
  private readonly time = h("span", { class: "timer" });
  private readonly pinButton: HTMLButtonElement;
  private readonly endButton: HTMLButtonElement;
  private readonly notice = h("p", { class: "note", "data-role": "notice", hidden: true });
  private readonly legs = new LegView();
  private readonly ladder: LadderView;
  private readonly empty = h("p", { class: "empty" }, "Nothing has been said yet.");
  private readonly columns: HTMLElement;
  private readonly dials: boolean;
  private call: Call;

  constructor(call: Call, session: Session, pin: (id: string) => void) {
    this.call = call;
    this.dials = may(session, "calls.dial");
    this.ladder = new LadderView(call.id, may(session, "calls.trace"));
    this.pinButton = h("button", { class: "quiet square", type: "button", "data-role": "pin", onclick: () => pin(call.id) }, icon(ICON.pin));
    this.endButton = h("button", { class: "quiet danger", type: "button", "data-role": "end" }, "End call");
    this.endButton.addEventListener("click", () => askToEnd(this.call));
    const link = h("a", { class: "button quiet square", href: `#${call.id}`, title: "Link to this call", "aria-label": "Link to this call" }, icon(ICON.link));
    const whole = h("a", { class: "button quiet square", href: `/calls/${call.id}`, title: "Everything about this call", "aria-label": "Everything about this call" }, icon(ICON.page));
    this.columns = h("div", { class: "columns-head", "aria-hidden": "true" }, h("span", {}, "What was said"), h("span", {}, "What it means"));
    const list = h("ol", { class: "sentences columns", tabindex: 0 });
    this.words = new SentenceList(list, (leg) => (leg === "agent" ? "Agent" : "Customer"));
    this.element = h("article", { class: "card call", "data-call": call.id, tabindex: -1 },
      h("div", { class: "head" }, this.title, this.status, this.time, h("span", { class: "tools" }, this.pinButton, link, whole, this.endButton)),
      this.detail, this.legs.element, this.notice, this.columns, this.empty, list, this.ladder.element);
  }

  /** It is no longer shown. */
  rest(): void {
    this.ladder.rest();
  }

  draw(call: Call, pinned: boolean, linked: boolean): void {
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
    const { translate_from, translate_to, record } = call.config;
    const languages = `${languageName(translate_from)} and ${languageName(translate_to)}`;
    const parts = [call.agent ? `Agent ${call.agent}` : "", call.direction, languages, record ? "recorded" : ""];
    setText(this.detail, parts.filter(Boolean).join(", "));
    this.pinButton.setAttribute("aria-pressed", String(pinned));
    const label = pinned ? "Unpin this call" : "Pin this call on top";
    this.pinButton.title = label;
    this.pinButton.setAttribute("aria-label", label);
    this.endButton.hidden = !isRunning(call) || !this.dials;
    const notice = translationNotice(call.config);
    this.notice.hidden = notice === undefined;
    setText(this.notice, notice ?? "");
    this.columns.hidden = notice !== undefined;
    this.tick();
  }

  drawLegs(legs: Legs): void {
    this.legs.draw(legs);
  }

  drawEmpty(none: boolean): void {
    this.empty.hidden = !none || !this.notice.hidden;
    if (none) this.columns.hidden = true;
  }

  tick(): void {
    const { created_at, answered_at, ended_at } = this.call;
    const end = ended_at ? Date.parse(ended_at) : isRunning(this.call) ? Date.now() : Date.parse(answered_at ?? created_at);
    setText(this.time, duration(end - Date.parse(answered_at ?? created_at)));
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
    // Without storage the pins last as long as the page.
  }
}
