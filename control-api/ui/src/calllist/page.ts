/** The list of calls, past and running, with search, filters, pages and export. The address holds the filters, so it can be shared. */
import * as api from "../api.js";
import { applyCallEvent, applyList, type Call, type CallEvent, type Calls, NO_CALLS, parseCall } from "../calls.js";
import { arrange, h, ICON, icon, setText } from "../dom.js";
import { request } from "../http.js";
import { Latest } from "../latest.js";
import { loadProblem } from "../records.js";
import { may } from "../session.js";
import { pageOf } from "../shapes.js";
import { type Shell, shell } from "../shell.js";
import { start } from "../start.js";
import { openStream } from "../stream.js";
import { addressOf, type Filters, filterCount, parseFilters, queryOf } from "./filters.js";
import { FilterForm } from "./form.js";
import { CallRow } from "./row.js";

/** Opens the call list. */
async function callListPage(): Promise<void> {
  const frame = await shell("calls");
  if (frame) new CallListPage(frame).start();
}

/** Position in the list; stored in the browser's history. */
interface Place {
  /** Cursors of the pages after the first, up to the shown one. */
  cursors: string[];
}

class CallListPage {
  private filters: Filters = parseFilters(location.search);
  private place: Place = placeOf(history.state);
  private readonly form: FilterForm;
  private readonly asked = new Latest();
  private calls: Calls = NO_CALLS;
  /** Ids of the shown calls, in the server's order. */
  private order: string[] = [];
  private next: string | null = null;
  private readonly arrived = new Set<string>();
  private readonly rows = new Map<string, CallRow>();

  private readonly count = h("span", { id: "calls-count", class: "muted", role: "status" });
  private readonly exports = h("div", { class: "panel-tools" });
  private readonly list = h("ol", { id: "calls-list", class: "call-list", "aria-label": "Calls" });
  private readonly note = h("div", { id: "calls-empty", class: "empty", hidden: true });
  private readonly problem = h("div", { id: "calls-problem", class: "load-problem", role: "alert", hidden: true });
  private readonly fresh = h("button", {
    id: "calls-fresh",
    class: "fresh",
    type: "button",
    hidden: true,
    onclick: () => this.go(this.filters, []),
  });
  private readonly newer = h(
    "button",
    { id: "calls-newer", class: "plain", type: "button", onclick: () => this.go(this.filters, this.place.cursors.slice(0, -1)) },
    icon(ICON.back),
    "Newer",
  );
  private readonly older = h(
    "button",
    { id: "calls-older", class: "plain", type: "button", onclick: () => this.go(this.filters, [...this.place.cursors, this.next ?? ""]) },
    "Older",
    icon(ICON.next),
  );
  private readonly pager = h("nav", { class: "pager", "aria-label": "Pages of the list", hidden: true }, this.newer, this.older);

  constructor(private readonly frame: Shell) {
    this.form = new FilterForm(this.filters, may(frame.session, "calls.read"), (filters) => this.go(filters, []));
    frame.main.replaceChildren(
      h(
        "div",
        { class: "page" },
        h("div", { class: "head" }, h("h1", {}, "Calls"), this.count, this.exports),
        this.form.element,
        this.fresh,
        this.problem,
        h("div", { class: "card flush" }, this.list, this.note),
        this.pager,
      ),
    );
  }

  start(): void {
    window.addEventListener("popstate", (event) => {
      this.filters = parseFilters(location.search);
      this.place = placeOf(event.state);
      this.form.set(this.filters);
      void this.load();
    });
    openStream("/api/events", {
      onMessage: ({ event, data }) => this.onEvent(event, data),
      onState: (state) => this.frame.connection(state),
      onUnauthorized: api.toLogin,
    });
    // The durations of running calls grow.
    setInterval(() => {
      for (const row of this.rows.values()) row.tick();
    }, 1000);
    void this.load();
  }

  /** Shows other filters or another page, with a new entry in the browser's history. */
  private go(filters: Filters, cursors: string[]): void {
    const same = addressOf(filters) === addressOf(this.filters) && cursors.length === this.place.cursors.length;
    this.filters = filters;
    this.place = { cursors };
    if (!same) history.pushState(this.place, "", `/calls${addressOf(filters)}`);
    window.scrollTo({ top: 0 });
    void this.load();
  }

  private async load(): Promise<void> {
    const wanted = this.asked.begin();
    const query = queryOf(this.filters, new Date());
    this.drawExports(query);
    const cursor = this.place.cursors.at(-1);
    if (cursor) query.set("cursor", cursor);
    this.list.setAttribute("aria-busy", "true");
    try {
      const page = pageOf(await request("GET", `/calls?${query}`), "calls", parseCall);
      if (!wanted()) return;
      this.form.refuse(undefined);
      this.problem.hidden = true;
      this.calls = applyList(NO_CALLS, page.items);
      this.order = page.items.map(({ id }) => id);
      this.next = page.next;
      this.arrived.clear();
      this.draw();
    } catch (error) {
      if (wanted()) this.fail(error);
    }
    this.list.removeAttribute("aria-busy");
  }

  private fail(error: unknown): void {
    if (error instanceof api.ApiError && error.status === 401) {
      api.toLogin();
      return;
    }
    // The cursor is no longer valid, for example after midnight for today's calls: show the first page.
    if (error instanceof api.ApiError && error.field === "cursor" && this.place.cursors.length > 0) {
      this.go(this.filters, []);
      return;
    }
    this.order = [];
    this.next = null;
    this.draw();
    this.note.hidden = true;
    if (this.form.refuse(error)) {
      this.problem.hidden = true;
      return;
    }
    this.problem.hidden = false;
    this.problem.replaceChildren(
      h("p", {}, loadProblem(error)),
      h("button", { class: "plain", type: "button", onclick: () => void this.load() }, "Try again"),
    );
  }

  /** Updates shown calls in place. New calls are only counted until the user asks for them, so that the list does not jump. */
  private onEvent(name: string, data: string): void {
    if (name === "gap") return void this.load();
    if (!/^call(\.(created|status))?$/.test(name)) return;
    let event: CallEvent;
    try {
      event = JSON.parse(data) as CallEvent;
    } catch {
      return;
    }
    const call = parseCall(event.call);
    const id = call?.id ?? event.call_id;
    if (typeof id !== "string") return;
    if (this.calls.has(id)) {
      this.calls = applyCallEvent(this.calls, event);
      this.draw();
    } else if (name === "call.created" && this.place.cursors.length === 0 && this.filters.q === "" && filterCount(this.filters) === 0) {
      this.arrived.add(id);
      this.drawFresh();
    }
  }

  private draw(): void {
    const now = Date.now();
    const calls = this.order.flatMap((id) => this.calls.get(id) ?? []);
    arrange(
      this.list,
      calls.map((call) => this.row(call, now).element),
    );
    for (const id of this.rows.keys()) if (!this.order.includes(id)) this.rows.delete(id);
    this.list.hidden = calls.length === 0;
    this.note.hidden = calls.length > 0;
    this.drawEmpty();
    const more = this.next !== null || this.place.cursors.length > 0;
    this.pager.hidden = !more;
    this.newer.disabled = this.place.cursors.length === 0;
    this.older.disabled = this.next === null;
    const page = more ? `, page ${this.place.cursors.length + 1}` : "";
    setText(this.count, calls.length === 0 ? "" : `${calls.length === 1 ? "1 call" : `${calls.length} calls`}${page}`);
    this.form.learn(
      calls.flatMap(
        ({ agent, outcome }) =>
          [
            ["agent", agent ?? ""],
            ["outcome", outcome ?? ""],
          ] as const,
      ),
    );
    this.drawFresh();
  }

  private row(call: Call, now: number): CallRow {
    let row = this.rows.get(call.id);
    if (!row) {
      row = new CallRow(call.id);
      this.rows.set(call.id, row);
    }
    row.draw(call, now, this.filters.q);
    return row;
  }

  private drawEmpty(): void {
    const filtered = this.filters.q !== "" || filterCount(this.filters) > 0;
    const reset = h("button", { class: "plain", type: "button", onclick: () => this.form.reset() }, "Show all calls");
    this.note.replaceChildren(
      ...(filtered
        ? [h("h2", {}, "No calls match"), h("p", {}, "Try fewer words or a longer period."), reset]
        : [h("h2", {}, "There are no calls yet"), h("p", {}, "Calls appear here with their words, outcome and recording.")]),
    );
  }

  private drawFresh(): void {
    const count = [...this.arrived].filter((id) => !this.calls.has(id)).length;
    this.fresh.hidden = count === 0;
    setText(this.fresh, count === 1 ? "Show 1 new call" : `Show ${count} new calls`);
  }

  private drawExports(query: URLSearchParams): void {
    if (!may(this.frame.session, "calls.export")) return;
    const link = (format: string): HTMLElement => {
      const asked = new URLSearchParams(query);
      asked.set("format", format);
      return h(
        "a",
        { class: "button quiet", id: `export-${format}`, href: `/api/calls/export?${asked}`, download: `calls.${format}` },
        icon(ICON.download),
        format.toUpperCase(),
      );
    };
    this.exports.replaceChildren(h("span", { class: "muted export-label" }, "Export"), link("csv"), link("json"));
  }
}

function placeOf(state: unknown): Place {
  const cursors = (state as Partial<Place> | null)?.cursors;
  return { cursors: Array.isArray(cursors) ? cursors.filter((cursor) => typeof cursor === "string") : [] };
}

start(callListPage);
