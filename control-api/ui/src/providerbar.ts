/** Draws the state and limits of the speech providers, and a warning if there is little space for recordings. */
import { h } from "./dom.js";
import { limits, PROVIDER_LABEL, type ProviderKind, type Providers, summary } from "./providers.js";
import { sentence } from "./refusals.js";

const WORD = {
  unknown: "not known yet",
  up: "ready",
  low: "low on space",
  restarting: "restarting",
  down: "not available",
  unsupported: "limited",
};

export class ProviderBar {
  readonly element = h("div", { id: "providers", class: "providers", "aria-label": "Speech providers", role: "group" });
  private last: Providers | undefined;

  draw(providers: Providers): void {
    if (providers === this.last) return;
    this.last = providers;
    const speech: ProviderKind[] = ["stt", "translator", "tts"];
    // The space for recordings is shown only while there is too little of it.
    const short = ["low", "down"].includes(summary(providers.recording));
    const kinds: ProviderKind[] = short ? [...speech, "recording"] : speech;
    const notes = kinds
      .flatMap((kind) => providers[kind])
      .filter((known) => ["down", "restarting", "low"].includes(known.state) && known.detail !== "")
      .map((known) => h("p", { class: "note warn", "data-provider-note": known.kind }, `${PROVIDER_LABEL[known.kind]}: ${known.detail}`));
    this.element.replaceChildren(
      ...kinds.map((kind) => {
        const state = summary(providers[kind]);
        return h("span", { class: "pill", "data-provider": kind, "data-state": state }, `${PROVIDER_LABEL[kind]} ${WORD[state]}`);
      }),
      ...limits(providers).map((text) => h("p", { class: "note", "data-limit": true }, sentence(text))),
      ...notes,
    );
  }
}
