/** One call in the list. The whole row is its link. */
import { type Call, isRunning, statusText } from "../calls.js";
import { h, ICON, icon, setText } from "../dom.js";
import { causeText, causeWords, dateTime, duration } from "../words.js";

/** Returns the content `A to B`, with line breaks between the parts rather than inside a number. */
export function parties(call: Call): (Node | string)[] {
  // A long address may break anywhere, because it may not fit on a line.
  const whole = (text: string): HTMLElement | string => (text.length < 24 ? h("span", { class: "whole" }, text) : text);
  return [whole(call.from ?? "Unknown"), " ", whole(`to ${call.to}`)];
}

/** Returns the time from the answer to the end, or until `now`, in ms; 0 if the call was not answered. */
export function talkTime(call: Call, now: number): number {
  if (call.answered_at === null) return 0;
  const end = call.ended_at !== null ? Date.parse(call.ended_at) : isRunning(call) ? now : Date.parse(call.answered_at);
  return Math.max(0, end - Date.parse(call.answered_at));
}

export class CallRow {
  readonly element: HTMLElement;
  private readonly link: HTMLAnchorElement;
  private readonly direction = h("span", { class: "way" });
  private readonly time = h("time", {});
  private readonly agent = h("span", { class: "call-agent" });
  private readonly length = h("span", { class: "timer" });
  private readonly outcome = h("span", { class: "call-outcome" });
  private readonly status = h("span", { class: "pill" });
  private call: Call | undefined;

  constructor(id: string) {
    this.link = h("a", { class: "row-link", href: `/calls/${id}` });
    this.element = h(
      "li",
      { class: "call-row", "data-call": id },
      this.direction,
      h("div", { class: "two-lines" }, this.link, this.time),
      this.agent,
      this.outcome,
      this.length,
      this.status,
    );
  }

  draw(call: Call, now: number, words: string): void {
    this.call = call;
    const inbound = call.direction === "inbound";
    if (this.direction.dataset["way"] !== call.direction) {
      this.direction.dataset["way"] = call.direction;
      this.direction.title = inbound ? "Inbound" : "Outbound";
      this.direction.replaceChildren(icon(inbound ? ICON.into : ICON.out), h("span", { class: "sr" }, this.direction.title));
      this.link.replaceChildren(...parties(call));
    }
    // The call's page marks the search words; the fragment is not sent to the server.
    this.link.href = `/calls/${call.id}${words === "" ? "" : `#q=${encodeURIComponent(words)}`}`;
    setText(this.time, dateTime(call.created_at, now));
    this.time.dateTime = call.created_at;
    setText(this.agent, call.agent ? `Agent ${call.agent}` : "No agent");
    this.agent.dataset["none"] = String(call.agent === null);
    setText(this.outcome, call.outcome ?? "");
    this.outcome.classList.toggle("tag", call.outcome !== null);
    this.element.dataset["status"] = call.status;
    this.status.dataset["state"] = call.status;
    this.status.title = isRunning(call) ? "" : causeText(call.ended_reason);
    setText(this.status, isRunning(call) ? statusText(call) : causeWords(call.ended_reason) || statusText(call));
    this.tick(now);
  }

  tick(now = Date.now()): void {
    if (this.call) setText(this.length, this.call.answered_at === null ? "" : duration(talkTime(this.call, now)));
  }
}
