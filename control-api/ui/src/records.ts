/**
 * A list of records as a table, which becomes cards on a narrow screen. It shows loading, empty and failed states, and loads more pages.
 */

import { h, setText } from "./dom.js";
import { ApiError, toLogin } from "./http.js";
import { Latest } from "./latest.js";
import type { Page } from "./shapes.js";

export interface Column<T> {
  label: string;
  cell(item: T): Node | string;
  /** `main`: the record's name; `tools`: its buttons; `number`: figures; `long`: may be broken anywhere. */
  kind?: "main" | "tools" | "number" | "long";
}

export interface RecordsOptions<T> {
  id: string;
  /** Name of the table for screen readers. */
  caption: string;
  columns: readonly Column<T>[];
  key(item: T): string;
  load(cursor: string | null): Promise<Page<T>>;
  /** Text for an empty list. */
  empty: string;
}

export class Records<T> {
  readonly element: HTMLElement;
  items: T[] = [];
  private readonly body = h("tbody", { role: "rowgroup" });
  private readonly table: HTMLTableElement;
  private readonly note = h("p", { class: "empty", role: "status" });
  private readonly problem = h("div", { class: "load-problem", role: "alert", hidden: true });
  private readonly more = h("button", { class: "quiet", type: "button", "data-role": "more", hidden: true }, "Show more");
  private readonly asked = new Latest();
  private next: string | null = null;

  constructor(private readonly options: RecordsOptions<T>) {
    const heads = options.columns.map(({ label, kind }) =>
      h("th", { role: "columnheader", scope: "col", class: kind }, kind === "tools" ? h("span", { class: "sr" }, label) : label),
    );
    this.table = h(
      "table",
      { class: "records", role: "table", hidden: true },
      h("caption", { class: "sr" }, options.caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)),
      this.body,
    );
    this.element = h(
      "div",
      { id: options.id, class: "records-frame", tabindex: -1, "data-state": "loading" },
      this.problem,
      this.note,
      this.table,
      this.more,
    );
    this.more.addEventListener("click", () => void this.load(this.next));
    setText(this.note, "Loading …");
  }

  /** Fetches the list again from its start. */
  refresh(): Promise<void> {
    return this.load(null);
  }

  private async load(cursor: string | null): Promise<void> {
    const wanted = this.asked.begin();
    this.more.disabled = true;
    try {
      const page = await this.options.load(cursor);
      if (!wanted()) return;
      this.items = cursor === null ? page.items : [...this.items, ...page.items];
      this.next = page.next;
      this.draw();
    } catch (error) {
      if (wanted()) this.fail(error);
    }
    this.more.disabled = false;
  }

  private draw(): void {
    this.problem.hidden = true;
    this.keepFocus(() => this.body.replaceChildren(...this.items.map((item) => this.row(item))));
    this.table.hidden = this.items.length === 0;
    this.note.hidden = this.items.length > 0;
    setText(this.note, this.options.empty);
    this.more.hidden = this.next === null;
    this.element.dataset["state"] = this.items.length === 0 ? "empty" : "shown";
  }

  /** Runs `change` and keeps the focus on the same button of the same record, or on the list if the record is gone. */
  private keepFocus(change: () => void): void {
    const focused =
      document.activeElement instanceof HTMLElement && this.body.contains(document.activeElement) ? document.activeElement : undefined;
    const [id, role] = [focused?.closest("tr")?.dataset["id"], focused?.dataset["role"]];
    change();
    if (!focused) return;
    const row = [...this.body.children].find((one) => (one as HTMLElement).dataset["id"] === id);
    const same = role === undefined ? null : row?.querySelector<HTMLElement>(`[data-role="${role}"]`);
    (same ?? this.element).focus();
  }

  private row(item: T): HTMLElement {
    return h(
      "tr",
      { role: "row", "data-id": this.options.key(item) },
      ...this.options.columns.map(({ label, cell, kind }) =>
        h("td", { role: "cell", class: kind, "data-label": kind === "main" || kind === "tools" ? null : label }, cell(item)),
      ),
    );
  }

  private fail(error: unknown): void {
    if (error instanceof ApiError && error.status === 401) {
      toLogin();
      return;
    }
    this.element.dataset["state"] = "failed";
    this.note.hidden = true;
    this.problem.hidden = false;
    this.problem.replaceChildren(
      h("p", {}, loadProblem(error)),
      h("button", { class: "plain", type: "button", onclick: () => void this.refresh() }, "Try again"),
    );
  }
}

/** Returns a sentence that says why something could not be loaded. */
export function loadProblem(error: unknown): string {
  if (error instanceof ApiError && error.status === 404) return "This server does not support this.";
  return error instanceof Error ? error.message : "This could not be loaded.";
}
