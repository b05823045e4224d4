/** Parts shared by the pages without sign-in. */
import { h } from "../dom.js";
import { home, pagePath, type Session } from "../session.js";
import { root } from "../shell.js";

/** Shows a card in the middle of the page. */
export function frame(title: string, lead: string, ...content: readonly Node[]): void {
  document.title = `${title} · Tandem`;
  root().replaceChildren(
    h(
      "main",
      { class: "narrow login" },
      h(
        "div",
        { class: "card" },
        h("div", { class: "login-brand" }, h("img", { src: "/favicon.svg", alt: "", width: 40, height: 40 }), h("span", {}, "Tandem")),
        h("h1", {}, title),
        h("p", { class: "muted" }, lead),
        ...content,
      ),
    ),
  );
}

/** Goes to the page that the address's `next` names, else to the user's start page. */
export function enter(session: Session): void {
  location.assign(pagePath(new URLSearchParams(location.search).get("next") ?? "") ?? home(session));
}

/** Returns an input for a password. */
export function passwordInput(id: string, autocomplete: "current-password" | "new-password"): HTMLInputElement {
  return h("input", { id, name: "password", type: "password", autocomplete, required: true, maxlength: 256 });
}

export const PASSWORD_HINT = "At least 12 characters. A few words are easy to remember.";
