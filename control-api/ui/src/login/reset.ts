/** Password reset by mail: asks for the address or, opened by the mailed link, for the new password. The token is in the fragment. */
import * as api from "../api.js";
import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { start } from "../start.js";
import { frame, PASSWORD_HINT, passwordInput } from "./frame.js";
import { invitationToken } from "./invited.js";

/** Opens the page. */
function resetPage(): void {
  const { token } = invitationToken("", location.hash);
  if (token) choose(token);
  else ask();
}

const back = (): HTMLElement => h("p", { class: "hint" }, h("a", { href: "/login" }, "Back to sign in"));

function ask(): void {
  const email = h("input", { id: "reset-email", name: "email", type: "email", autocomplete: "username", required: true, maxlength: 254 });
  const form = new Form({
    id: "reset",
    submit: "Send a link",
    look: "primary wide",
    anonymous: true,
    fields: [field("email", "Email", email)],
    async save() {
      await api.passwordForgotten(email.value.trim());
      frame(
        "Check your mail",
        "If there is an account with this address, a link to choose a new password is on its way.",
        h("p", { id: "reset-sent", class: "note" }, "The link works once and expires after an hour."),
        back(),
      );
    },
  });
  frame("New password", "We will mail you a link.", form.element, back());
  email.focus();
}

function choose(token: string): void {
  const password = passwordInput("reset-password", "new-password");
  const form = new Form({
    id: "reset",
    submit: "Set password",
    look: "primary wide",
    anonymous: true,
    fields: [field("password", "New password", password, PASSWORD_HINT)],
    async save() {
      await api.passwordReset(token, password.value);
      history.replaceState(null, "", "/reset");
      frame(
        "Password changed",
        "You have been signed out everywhere.",
        h("p", { id: "reset-done", class: "note" }, h("a", { href: "/login" }, "Sign in"), " with the new password."),
      );
    },
  });
  frame("New password", "Choose the password for your account.", form.element, back());
  password.focus();
}

start(resetPage);
