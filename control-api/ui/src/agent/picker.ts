/** Chooses someone to call: searches colleagues and targets, or takes a number. It can be operated by keyboard alone. */
import { h, ICON, icon, setText } from "../dom.js";
import { directoryList, type Entry, searchEntries } from "./directory.js";

export type PickFor = "transfer" | "add";

export interface PickEvents {
  /** The entry is to take the user's place at once. */
  onTransfer(entry: Entry): void;
  /** The entry is to be called while the others wait. */
  onConsult(entry: Entry): void;
  /** The entry is to be called into the conversation. */
  onAdd(entry: Entry): void;
}

const KIND: Record<Entry["kind"], string> = { colleague: "Colleague", target: "Target", number: "Call this number" };

export class Picker {
  private readonly label = h("label", { for: "picker-input" });
  private readonly input = h("input", {
    id: "picker-input",
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "Name or number",
    "aria-autocomplete": "list",
    "aria-controls": "picker-list",
    "aria-expanded": "true",
  });
  private readonly list = h("ul", { id: "picker-list", class: "picker-list", role: "listbox", "aria-label": "Matches" });
  private readonly none = h("p", { class: "hint", role: "status" });
  private readonly now = h("button", { id: "picker-now", class: "primary", type: "button" }, icon(ICON.transfer), "Transfer now");
  private readonly ask = h("button", { id: "picker-ask", class: "plain", type: "button" }, icon(ICON.phone), "Ask first");
  private readonly addIn = h("button", { id: "picker-add", class: "primary", type: "button" }, icon(ICON.plus), "Add to the call");
  readonly element: HTMLElement;
  private entries: Entry[] = [];
  private complete = false;
  private shown: Entry[] = [];
  private chosen = 0;
  private wanted: PickFor = "transfer";
  private before: Element | null = null;

  constructor(
    private readonly me: () => string,
    private readonly events: PickEvents,
  ) {
    const close = h(
      "button",
      { class: "quiet square", type: "button", "aria-label": "Close", onclick: () => this.close() },
      icon(ICON.close),
    );
    this.element = h(
      "div",
      { id: "picker", class: "picker", role: "group", "aria-label": "Choose a person", hidden: true },
      h("div", { class: "picker-head" }, this.label, close),
      this.input,
      this.list,
      this.none,
      h("div", { class: "pair" }, this.now, this.ask, this.addIn),
    );
    this.input.addEventListener("input", () => this.search());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-at]") : null;
      if (!option) return;
      this.choose(Number(option.dataset["at"]));
      this.input.focus();
    });
    this.now.addEventListener("click", () => this.take((entry) => this.events.onTransfer(entry)));
    this.ask.addEventListener("click", () => this.take((entry) => this.events.onConsult(entry)));
    this.addIn.addEventListener("click", () => this.take((entry) => this.events.onAdd(entry)));
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  get purpose(): PickFor | undefined {
    return this.isOpen ? this.wanted : undefined;
  }

  /** Returns the name of a colleague or target by SIP name or address; `undefined` if unknown. */
  nameOf(peer: string): string | undefined {
    return this.entries.find(({ address }) => address === peer)?.name;
  }

  /** Fetches the directory, until it has been fetched completely. */
  async load(): Promise<void> {
    if (this.complete) return;
    const { entries, complete } = await directoryList(this.me());
    [this.entries, this.complete] = [entries, complete];
    if (this.isOpen) this.search();
  }

  open(wanted: PickFor): void {
    if (!this.isOpen) this.before = document.activeElement;
    this.wanted = wanted;
    this.element.hidden = false;
    const transfers = wanted === "transfer";
    this.now.hidden = this.ask.hidden = !transfers;
    this.addIn.hidden = transfers;
    setText(this.label, transfers ? "Transfer to" : "Add to the call");
    this.input.value = "";
    this.search();
    this.input.focus();
    void this.load();
  }

  close(): void {
    if (!this.isOpen) return;
    const inside = this.element.contains(document.activeElement);
    this.element.hidden = true;
    if (inside && this.before instanceof HTMLElement) this.before.focus({ preventScroll: true });
  }

  private take(run: (entry: Entry) => void): void {
    const entry = this.shown[this.chosen];
    if (!entry) {
      this.input.focus();
      return;
    }
    this.close();
    run(entry);
  }

  private key(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Escape") this.close();
    else if (event.target !== this.input) return;
    else if (event.key === "ArrowDown") this.choose(this.chosen + 1);
    else if (event.key === "ArrowUp") this.choose(this.chosen - 1);
    else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey)
      (this.wanted === "add" ? this.addIn : event.shiftKey ? this.ask : this.now).click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private search(): void {
    const query = this.input.value.trim();
    this.shown = searchEntries(this.entries, query);
    this.list.replaceChildren(
      ...this.shown.map((entry, at) =>
        h(
          "li",
          { id: `picker-${at}`, role: "option", "data-at": at, "data-address": entry.address },
          h("span", { class: "picker-name" }, entry.name),
          h("small", {}, entry.kind === "number" ? KIND.number : `${KIND[entry.kind]}, ${entry.address}`),
        ),
      ),
    );
    this.list.hidden = this.shown.length === 0;
    setText(
      this.none,
      this.shown.length > 0
        ? ""
        : query === ""
          ? "Type a name, or a number that starts with +."
          : "No match. To call a number, start with + and the country code.",
    );
    this.choose(0);
  }

  private choose(at: number): void {
    this.chosen = Math.max(0, Math.min(at, this.shown.length - 1));
    for (const [index, option] of [...this.list.children].entries()) option.setAttribute("aria-selected", String(index === this.chosen));
    const option = this.list.children[this.chosen];
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
    for (const button of [this.now, this.ask, this.addIn]) button.disabled = option === undefined;
  }
}
