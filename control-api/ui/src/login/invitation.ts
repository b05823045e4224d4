/** An invitation: shows to what, then takes a name and a password. The token stays in the fragment, which no server sees. */
import * as api from "../api.js";
import { h } from "../dom.js";
import { field, Form } from "../form.js";
import { roleLabel, ROLES } from "../session.js";
import { dateTime } from "../words.js";
import { enter, frame, PASSWORD_HINT, passwordInput } from "./frame.js";
import { invitationToken } from "./invited.js";

export function invitationPage(): void {
  const { token, clean } = invitationToken(location.search, location.hash);
  if (!token) return over("This link holds no invitation. Open it whole, as it was sent to you.");
  // What stood in the query leaves the address bar and the history.
  if (clean !== undefined) history.replaceState(null, "", `/invitation${clean}`);
  frame("Invitation", "One moment …");
  api.invitationShow(token).then(
    (invitation) => invited(token, invitation),
    (error: unknown) => over(
      error instanceof api.ApiError && error.status === 404
        ? "This invitation is not known, was used, or is over. Ask whoever invited you for a new one."
        : error instanceof Error ? error.message : "The invitation cannot be shown."),
  );
}

function over(text: string): void {
  frame("Invitation", "This invitation cannot be used.", h("p", { id: "invitation-over", class: "note warn", role: "alert" }, text),
    h("p", { class: "hint" }, "You have an account? ", h("a", { href: "/login" }, "Sign in"), "."));
}

function invited(token: string, invitation: api.Invitation): void {
  const email = h("input", { id: "invitation-email", type: "email", autocomplete: "username", readonly: true, value: invitation.email });
  const name = h("input", { id: "invitation-name", name: "name", autocomplete: "name", required: true, maxlength: 100 });
  const password = passwordInput("invitation-password", "new-password");
  const form = new Form({
    id: "invitation",
    submit: `Join ${invitation.organization || "the organization"}`,
    look: "primary wide",
    anonymous: true,
    fields: [field("email", "Email", email), field("name", "Your name", name), field("password", "Password", password, `${PASSWORD_HINT} If you have an account here already: its password.`)],
    async save() {
      enter(await api.signup({ invitation: token, name: name.value.trim(), password: password.value }));
    },
  });
  const about = ROLES.find(({ role }) => role === invitation.role)?.about;
  const until = invitation.expiresAt ? `Valid until ${dateTime(invitation.expiresAt, Date.now())}` : "";
  frame(`Join ${invitation.organization}`, `You are invited as ${roleLabel(invitation.role).toLowerCase()}.`,
    h("p", { id: "invitation-role", class: "note" }, [about, until].filter(Boolean).join(". ") + "."), form.element);
  name.focus();
}
