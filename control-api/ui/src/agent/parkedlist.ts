/**
 * The list of parked calls: the waiting party, slot and waiting time, with a button that picks the call up.
 *
 *   call.parked, call.unparked ─┐
 *   every 10 s while visible   ─┴▶ GET /parked ─▶ rows, whose times are counted here
 *
 * This page receives no events for calls of other agents, so it polls.
 */
import { arrange, h, setText } from "../dom.js";
import { ApiError } from "../http.js";
import { Latest } from "../latest.js";
import { inOrder, isUrgent, type Parked, parkedText, waiterName } from "./parked.js";
import { parkedList } from "./verbs.js";

const ASK_MS = 10_000;

/** What the list needs from its page. */
export interface ParkedEvents {
  /** The list has changed. */
  onChange(): void;
  onPickUp(parked: Parked): void;
  /** Returns the SIP name of this page's user. */
  me(): string;
  nameOf(sipName: string): string | undefined;
}

export class ParkedList {
  readonly element: HTMLElement;
  private readonly list = h("ul", { id: "parked-list", class: "parked-list" });
  private readonly problem = h("p", { id: "parked-problem", class: "problem", role: "alert" });
  private readonly count = h("span", { class: "tag", role: "status" });
  private readonly rows = new Map<number, Row>();
  private readonly asked = new Latest();
  private parked: Parked[] = [];
  private possible = true;
  /** Slot of the call that this page is picking up. */
  private picking: number | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly events: ParkedEvents) {
    this.element = h(
      "section",
      { id: "parked", class: "parked", "aria-labelledby": "parked-title", hidden: true },
      h("h2", { id: "parked-title" }, "Parked calls ", this.count),
      this.list,
      this.problem,
    );
  }

  start(): void {
    void this.refresh();
    setInterval(() => !document.hidden && void this.refresh(), ASK_MS);
    document.addEventListener("visibilitychange", () => !document.hidden && void this.refresh());
  }

  /** Returns the parked call with this id, if there is one. */
  find(call: string): Parked | undefined {
    return this.parked.find((one) => one.call === call);
  }

  /** Refreshes the list when a call was parked or unparked. */
  onEvent(kind: string): void {
    if (kind === "call.parked" || kind === "call.unparked") void this.refresh();
  }

  /** Fetches the list again, for example after this page has changed it. */
  async refresh(): Promise<void> {
    if (!this.possible) return;
    const wanted = this.asked.begin();
    try {
      const parked = await parkedList();
      if (!wanted()) return;
      this.parked = inOrder(parked);
      this.events.onChange();
    } catch (error) {
      // The server is older, or the user's role has no phone.
      if (error instanceof ApiError && (error.status === 404 || error.status === 403)) this.possible = false;
      return;
    }
    this.draw();
  }

  /** Shows which slot is being picked up, and why the last attempt failed (`problem`). */
  pick(slot: number | undefined, problem = ""): void {
    this.picking = slot;
    setText(this.problem, problem);
    this.draw();
  }

  /** Enables the buttons. `free`: this page's phone has no call. */
  allow(free: boolean): void {
    if (this.element.dataset["free"] === String(free)) return;
    this.element.dataset["free"] = String(free);
    this.draw();
  }

  /** Focuses the button of the call that has waited longest. */
  focus(): void {
    this.list.querySelector<HTMLElement>("button:not(:disabled)")?.focus();
  }

  private draw(): void {
    this.element.hidden = this.parked.length === 0 && this.problem.textContent === "";
    setText(this.count, String(this.parked.length));
    const [now, free] = [Date.now(), this.element.dataset["free"] === "true"];
    arrange(
      this.list,
      this.parked.map((parked) => {
        let row = this.rows.get(parked.slot);
        if (!row) {
          row = new Row(parked.slot, (one) => this.events.onPickUp(one));
          this.rows.set(parked.slot, row);
        }
        row.draw(parked, {
          text: parkedText(parked, { me: this.events.me(), of: (name) => this.events.nameOf(name), now }),
          urgent: isUrgent(parked, now),
          free,
          picking: this.picking === parked.slot,
        });
        return row.element;
      }),
    );
    for (const slot of this.rows.keys()) if (!this.parked.some((one) => one.slot === slot)) this.rows.delete(slot);
    if (this.parked.length > 0) this.timer ??= setInterval(() => this.draw(), 1000);
    else this.timer = void clearInterval(this.timer);
  }
}

class Row {
  readonly element: HTMLElement;
  private readonly peer = h("strong", {});
  private readonly text = h("span", { class: "hears" });
  private readonly button: HTMLButtonElement;
  private parked: Parked | undefined;

  constructor(slot: number, onPickUp: (parked: Parked) => void) {
    this.button = h(
      "button",
      { class: "plain", type: "button", "data-role": "pick-up", onclick: () => this.parked && onPickUp(this.parked) },
      "Pick up",
    );
    this.element = h(
      "li",
      { class: "party", "data-slot": slot },
      h("span", { class: "slot", title: `Slot ${slot}` }, h("span", { class: "sr" }, "Slot "), String(slot)),
      h("div", { class: "party-who" }, this.peer, this.text),
      this.button,
    );
  }

  draw(parked: Parked, { text, urgent, free, picking }: { text: string; urgent: boolean; free: boolean; picking: boolean }): void {
    this.parked = parked;
    setText(this.peer, waiterName(parked));
    this.peer.title = parked.peer;
    setText(this.text, picking ? "Calling your phone …" : text);
    this.element.dataset["state"] = parked.state;
    this.element.dataset["urgent"] = String(urgent);
    this.button.disabled = !free || picking || parked.state !== "waiting";
    this.button.title = free ? "" : "End your call first";
    this.button.setAttribute("aria-label", `Pick up ${waiterName(parked)} in slot ${parked.slot}`);
  }
}
