/** Draws the running call: its parties, what each of them hears, and the available actions. */
import { arrange, h, ICON, icon, setText } from "../dom.js";
import { type Choices, joinNames, type Party, type PartyState } from "./parties.js";
import { type Command, keysOf, SHORTCUTS } from "./shortcuts.js";

/** State of the running call, as `CallView.draw` takes it. */
export interface CallShown {
  /** Whether the server has reported the call; actions need it. */
  known: boolean;
  parties: readonly Party[];
  choices: Choices;
  muted: boolean;
  /** Names of people who are being called and whose legs the server has not reported yet. */
  waiting: readonly string[];
  /** Name of the transfer target while a transfer is in progress. */
  transferring: string | undefined;
  /** Whether waiting parties hear music instead of a tone. */
  music: boolean;
  /** Purpose of the open picker, if it is open. */
  picking: "transfer" | "add" | undefined;
}

export interface CallViewEvents {
  onCommand(command: Command): void;
  onHold(leg: number, on: boolean): void;
  onRemove(leg: number): void;
  onCallOff(): void;
}

const STATE: Record<PartyState, string> = {
  ringing: "Ringing",
  talking: "",
  muted: "Muted",
  held: "On hold",
  holds: "Put the call on hold",
  aside: "Waiting",
  parked: "Parked",
  listening: "Listening",
};

export class CallView {
  readonly parties = h("ul", { id: "parties", class: "parties", "aria-label": "People in the call" });
  readonly mute: HTMLButtonElement;
  readonly controls: HTMLElement;
  readonly consult: HTMLElement;
  readonly transferState: HTMLElement;
  readonly problem = h("p", { id: "control-problem", class: "problem", role: "alert" });
  private readonly hold: HTMLButtonElement;
  private readonly transfer: HTMLButtonElement;
  private readonly add: HTMLButtonElement;
  private readonly park: HTMLButtonElement;
  private readonly swap: HTMLButtonElement;
  private readonly merge: HTMLButtonElement;
  private readonly complete: HTMLButtonElement;
  private readonly transferText = h("span", {});
  private readonly rows = new Map<string, Row>();

  constructor(private readonly events: CallViewEvents) {
    const button = (id: string, look: string, label: string, path: string, command: Command): HTMLButtonElement => {
      const keys = keysOf(command);
      return h(
        "button",
        {
          id,
          class: look,
          type: "button",
          title: `${label} (${keys})`,
          "aria-keyshortcuts": keys.toLowerCase(),
          onclick: () => events.onCommand(command),
        },
        icon(path),
        h("span", {}, label),
      );
    };
    this.mute = button("mute", "control", "Mute", ICON.microphone, "mute");
    this.hold = button("hold", "control", "Hold", ICON.pause, "hold");
    this.transfer = button("transfer", "control", "Transfer", ICON.transfer, "transfer");
    this.add = button("add", "control", "Add", ICON.plus, "add");
    this.park = button("park", "control", "Park", ICON.park, "park");
    this.controls = h(
      "div",
      { id: "controls", class: "controls", role: "group", "aria-label": "Call" },
      this.mute,
      this.hold,
      this.transfer,
      this.add,
      this.park,
    );
    this.swap = button("swap", "plain", "Swap", ICON.swap, "swap");
    this.merge = button("merge", "plain", "Join all", ICON.merge, "merge");
    this.complete = button("complete", "primary", "Connect them and leave", ICON.transfer, "complete");
    this.consult = h(
      "div",
      { id: "consult", class: "consult", role: "group", "aria-label": "Several parties", hidden: true },
      this.complete,
      this.merge,
      this.swap,
    );
    const callOff = h(
      "button",
      { id: "transfer-off", class: "quiet", type: "button", onclick: () => events.onCallOff() },
      "Cancel transfer",
    );
    this.transferState = h(
      "div",
      { id: "transfer-state", class: "note transfer-state", role: "status", hidden: true },
      this.transferText,
      callOff,
    );
  }

  draw(shown: CallShown): void {
    const { known, parties, choices, transferring, waiting } = shown;
    const busy = transferring !== undefined;
    const rows = [
      ...parties.map((party) => this.row(String(party.leg), party, busy)),
      ...waiting.map((name) => this.row(`wait ${name}`, callingParty(name), busy)),
    ];
    arrange(
      this.parties,
      rows.map(({ element }) => element),
    );
    const drawn = new Set(rows);
    for (const [key, row] of this.rows) if (!drawn.has(row)) this.rows.delete(key);

    face(this.mute, shown.muted ? "Unmute" : "Mute", shown.muted ? ICON.muted : ICON.microphone, shown.muted);
    face(this.hold, choices.held ? "Resume" : "Hold", choices.held ? ICON.play : ICON.pause, choices.held);
    this.hold.disabled = !known || busy || choices.others === 0;
    this.transfer.disabled = !known || busy || choices.others === 0;
    this.add.disabled = !known || busy || choices.others === 0;
    this.park.disabled = !known || busy || choices.others === 0;
    this.transfer.setAttribute("aria-expanded", String(shown.picking === "transfer"));
    this.add.setAttribute("aria-expanded", String(shown.picking === "add"));

    this.consult.hidden = busy || !choices.consulting;
    this.transferState.hidden = !busy;
    setText(
      this.transferText,
      busy
        ? `${transferring} is being called. ${others(parties)} ${plural(parties) ? "hear" : "hears"} ${shown.music ? "music" : "ringing"}.`
        : "",
    );
  }

  private row(key: string, party: Party, busy: boolean): Row {
    let row = this.rows.get(key);
    if (!row) {
      row = new Row(this.events);
      this.rows.set(key, row);
    }
    row.draw(party, busy);
    return row;
  }
}

class Row {
  readonly element: HTMLElement;
  private readonly name = h("strong", {});
  private readonly state = h("span", { class: "pill", hidden: true });
  private readonly hears = h("span", { class: "hears" });
  private readonly hold: HTMLButtonElement;
  private readonly remove: HTMLButtonElement;
  private party: Party | undefined;

  constructor(events: CallViewEvents) {
    this.hold = h("button", {
      class: "quiet square",
      type: "button",
      "data-role": "hold",
      onclick: () => this.party && events.onHold(this.party.leg, this.party.state !== "held"),
    });
    this.remove = h(
      "button",
      { class: "quiet square danger", type: "button", "data-role": "remove", onclick: () => this.party && events.onRemove(this.party.leg) },
      icon(ICON.hangup),
    );
    this.element = h(
      "li",
      { class: "party" },
      h("div", { class: "party-who" }, h("div", { class: "party-name" }, this.name, this.state), this.hears),
      this.hold,
      this.remove,
    );
  }

  /** Draws `party`. `busy`: a transfer is in progress, so the buttons are hidden. */
  draw(party: Party, busy: boolean): void {
    this.party = party;
    const { element, hold, remove } = this;
    if (party.leg > 0) element.dataset["party"] = String(party.leg);
    element.dataset["state"] = party.state;
    element.dataset["me"] = String(party.me);
    element.dataset["speaking"] = String(party.speaking);
    setText(this.name, party.name);
    this.name.title = party.address;
    this.state.hidden = STATE[party.state] === "";
    this.state.dataset["tone"] = party.state === "ringing" ? "good" : "warn";
    setText(this.state, STATE[party.state]);
    setText(this.hears, party.hears.charAt(0).toUpperCase() + party.hears.slice(1));
    const acts = !busy && !party.me && party.leg > 0 && party.state !== "listening";
    hold.hidden = !acts || party.state === "ringing";
    remove.hidden = !acts;
    const held = party.state === "held";
    if (hold.dataset["held"] !== String(held)) {
      hold.dataset["held"] = String(held);
      hold.replaceChildren(icon(held ? ICON.play : ICON.pause));
    }
    label(hold, `${held ? "Resume" : "Hold"} ${party.name}`);
    label(remove, `${party.state === "ringing" ? "Stop calling" : "Hang up"} ${party.name}`);
  }
}

/** The row for someone who is being called and has no leg yet. */
function callingParty(name: string): Party {
  return { leg: 0, me: false, name, address: "", state: "ringing", speaking: false, hears: "is being called" };
}

function others(parties: readonly Party[]): string {
  return (
    joinNames(parties.filter(({ me, state }) => !me && state !== "ringing" && state !== "listening").map(({ name }) => name)) ||
    "The other side"
  );
}

function plural(parties: readonly Party[]): boolean {
  return parties.filter(({ me, state }) => !me && state !== "ringing" && state !== "listening").length > 1;
}

function label(button: HTMLButtonElement, text: string): void {
  button.title = text;
  button.setAttribute("aria-label", text);
}

/** Sets a button's label and icon and, for a toggle button, whether it is pressed. */
function face(button: HTMLButtonElement, text: string, path: string, on?: boolean): void {
  if (on !== undefined) button.setAttribute("aria-pressed", String(on));
  if (button.dataset["face"] === text) return;
  button.dataset["face"] = text;
  button.replaceChildren(icon(path), h("span", {}, text));
}

/** Returns the list of keyboard shortcuts with a box that switches single-letter shortcuts on and off. */
export function shortcutHelp(on: boolean, onSwitch: (on: boolean) => void): HTMLDetailsElement {
  const box = h("input", { id: "shortcuts-on", type: "checkbox", checked: on });
  box.addEventListener("change", () => onSwitch(box.checked));
  const rows = SHORTCUTS.flatMap(({ keys, label }) => [
    h("dt", {}, ...keys.split(" + ").map((key) => h("kbd", {}, key))),
    h("dd", {}, label),
  ]);
  return h(
    "details",
    { id: "shortcuts", class: "fold" },
    h("summary", {}, icon(ICON.keyboard), "Keyboard shortcuts"),
    h("dl", { class: "shortcut-list" }, ...rows),
    h("label", { class: "check" }, box, "Use single-letter shortcuts"),
  );
}
