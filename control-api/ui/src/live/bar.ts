/** The bar for the supervised call, always visible: supervision mode, listener of a whisper, and a button to leave. */
import type { Call } from "../calls.js";
import { h, ICON, icon, setText } from "../dom.js";
import { type Legs, legName, type SuperviseMode, type Supervises, whisperTargets } from "../legs.js";
import { MODES } from "./card.js";
import { inCall, type State } from "./supervisor.js";

export interface BarActions {
  ask(wish: Supervises): void;
  leave(): void;
  show(call: string): void;
}

export class SupervisionBar {
  readonly element: HTMLElement;
  private readonly title: HTMLButtonElement;
  private readonly says = h("p", { class: "says", role: "status" });
  private readonly buttons: readonly HTMLButtonElement[];
  private readonly whom = h("select", { id: "supervision-whom", "aria-label": "Whisper to" });
  private readonly whomLabel = h("label", { class: "whom", for: "supervision-whom", hidden: true }, "Whisper to ", this.whom);
  /** Whether the parties hear a tone when a supervisor has joined. */
  notice = false;
  private call = "";
  private options = "";

  constructor(actions: BarActions) {
    this.title = h("button", { class: "fold-call", type: "button", title: "Show this call", onclick: () => actions.show(this.call) });
    this.buttons = MODES.map(({ mode, label, about }) =>
      h(
        "button",
        {
          type: "button",
          "data-mode": mode,
          title: about,
          "aria-pressed": "false",
          onclick: () => actions.ask({ mode, to: this.listener(mode) }),
        },
        label,
      ),
    );
    this.whom.addEventListener("change", () => actions.ask({ mode: "whisper", to: this.listener("whisper") }));
    const leave = h(
      "button",
      { id: "supervision-leave", class: "bad", type: "button", onclick: () => actions.leave() },
      icon(ICON.hangup),
      "Leave",
    );
    this.element = h(
      "section",
      { id: "supervision", class: "supervision", "aria-label": "Supervision", hidden: true },
      h("div", { class: "supervision-who" }, this.title, this.says),
      h("div", { class: "segments" }, ...this.buttons),
      this.whomLabel,
      leave,
    );
  }

  draw(state: State, call: Call | undefined, legs: Legs): void {
    this.element.hidden = state.phase === "idle";
    if (state.phase === "idle") return;
    this.call = state.call;
    const { wish, busy } = inCall(state, state.call) ?? { wish: { mode: "listen", to: null } as Supervises, busy: false };
    this.element.dataset["phase"] = state.phase;
    this.element.dataset["mode"] = wish.mode;
    setText(this.title, call ? `${call.from ?? "Unknown"} to ${call.to}` : "A call");
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset["mode"] === wish.mode));
    this.fill(legs, wish);
    setText(
      this.says,
      state.phase === "joining"
        ? state.step
        : busy
          ? "One moment …"
          : [this.saying(wish, legs), this.notice ? "The parties hear a notice tone." : ""].filter(Boolean).join(" "),
    );
  }

  /** Returns the chosen listener of a whisper; null for the first agent. */
  private listener(mode: SuperviseMode): number | null {
    return mode === "whisper" && this.whom.value !== "" ? Number(this.whom.value) : null;
  }

  private fill(legs: Legs, wish: Supervises): void {
    const targets = whisperTargets(legs);
    this.whomLabel.hidden = targets.length < 2 || wish.mode !== "whisper";
    const options = targets.map((leg) => `${leg.leg} ${legName(leg)}`).join("|");
    if (options !== this.options) {
      this.options = options;
      const chosen = this.whom.value;
      this.whom.replaceChildren(...targets.map((leg) => h("option", { value: leg.leg }, legName(leg))));
      if (targets.some((leg) => String(leg.leg) === chosen)) this.whom.value = chosen;
    }
    // A list that the user has open is not changed.
    if (wish.mode === "whisper" && wish.to !== null && document.activeElement !== this.whom) this.whom.value = String(wish.to);
  }

  private saying({ mode, to }: Supervises, legs: Legs): string {
    if (mode === "listen") return "You hear the call. Nobody hears you.";
    if (mode === "barge") return "Everybody hears you.";
    const listener = to === null ? undefined : legs.get(to);
    return listener ? `Only ${legName(listener)} hears you.` : "Only the agent hears you.";
  }
}
