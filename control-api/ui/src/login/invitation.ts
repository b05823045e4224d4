/** The invitation page: shows organization and role, asks for name and password. The token is in the fragment, which is never sent. */
import * as api from "../api.js";
import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { ROLES, roleLabel } from "../session.js";
import { start } from "../start.js";
import { dateTime } from "../words.js";
import { enter, frame, PASSWORD_HINT, passwordInput } from "./frame.js";
import { invitationToken } from "./invited.js";

/** Opens the invitation that the address names. */
function invitationPage(): void {
  const { token, clean } = invitationToken(location.search, location.hash);
  if (!token) {
    showUnusable("This link has no invitation in it. Open the complete link that was sent to you.");
    return;
  }
  // A token in the query is removed from the address bar and the history.
  if (clean !== undefined) history.replaceState(null, "", `/invitation${clean}`);
  frame("Invitation", "One moment …");
  api.invitationShow(token).then(
    (invitation) => showInvitation(token, invitation),
    (error: unknown) =>
      showUnusable(
        error instanceof api.ApiError && error.status === 404
          ? "This invitation is unknown, already used or expired. Ask the person who invited you for a new one."
          : error instanceof Error
            ? error.message
            : "The invitation cannot be shown.",
      ),
  );
}

function showUnusable(text: string): void {
  frame(
    "Invitation",
    "This invitation cannot be used.",
    h("p", { id: "invitation-over", class: "note warn", role: "alert" }, text),
    h("p", { class: "hint" }, "Already have an account? ", h("a", { href: "/login" }, "Sign in"), "."),
  );
}

function showInvitation(token: string, invitation: api.Invitation): void {
  const email = h("input", { id: "invitation-email", type: "email", autocomplete: "username", readonly: true, value: invitation.email });
  const name = h("input", { id: "invitation-name", name: "name", autocomplete: "name", required: true, maxlength: 100 });
  const password = passwordInput("invitation-password", "new-password");
  const form = new Form({
    id: "invitation",
    submit: `Join ${invitation.organization || "the organization"}`,
    look: "primary wide",
    anonymous: true,
    fields: [
      field("email", "Email", email),
      field("name", "Your name", name),
      field("password", "Password", password, `${PASSWORD_HINT} If you already have an account here, enter its password.`),
    ],
    async save() {
      enter(await api.signup({ invitation: token, name: name.value.trim(), password: password.value }));
    },
  });
  const about = ROLES.find(({ role }) => role === invitation.role)?.about;
  const until = invitation.expiresAt ? `Valid until ${dateTime(invitation.expiresAt, Date.now())}` : "";
  frame(
    `Join ${invitation.organization}`,
    `You have been invited as ${roleLabel(invitation.role).toLowerCase()}.`,
    h("p", { id: "invitation-role", class: "note" }, `${[about, until].filter(Boolean).join(". ")}.`),
    form.element,
  );
  name.focus();
}

start(invitationPage);
