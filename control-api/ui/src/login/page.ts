/** The sign-in page. */
import * as api from "../api.js";
import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { start } from "../start.js";
import { enter, frame, passwordInput } from "./frame.js";

/** Opens the sign-in page. */
function loginPage(): void {
  const email = h("input", { id: "login-email", name: "email", type: "email", autocomplete: "username", required: true, autofocus: true });
  const password = passwordInput("login-password", "current-password");
  const organization = h("input", { id: "login-organization", autocomplete: "organization", maxlength: 100 });
  const [emailField, passwordField] = [field("email", "Email", email), field("password", "Password", password)];
  const organizationField = field(
    "organization",
    "Organization (optional)",
    organization,
    "Name of the organization. Leave empty for the one you joined first.",
  );
  const several = h(
    "details",
    { id: "login-several", class: "fold" },
    h("summary", {}, "I belong to several organizations"),
    organizationField.element,
  );
  const form = new Form({
    id: "login",
    submit: "Sign in",
    look: "primary wide",
    anonymous: true,
    fields: [emailField, passwordField, organizationField],
    layout: [emailField.element, passwordField.element, several],
    async save() {
      try {
        enter(await api.login(email.value, password.value, organization.value.trim()));
      } catch (error) {
        password.select();
        throw error;
      }
    },
  });
  const way = h("p", { id: "login-signup", class: "hint" });
  const forgotten = h("p", { id: "login-forgotten", class: "hint" });
  frame("Sign in", "Calls across two languages.", form.element, forgotten, way);
  email.focus();
  void showWayIn(way, forgotten);
}

/** Shows how to get an account and how to reset a password, if the server reports that. */
async function showWayIn(place: HTMLElement, forgotten: HTMLElement): Promise<void> {
  const ways = await api.providers().catch(() => undefined);
  const signup = ways?.signup;
  if (ways?.passwordReset) forgotten.replaceChildren(h("a", { href: "/reset" }, "Forgot your password?"));
  if (signup === "first_user") {
    place.className = "note";
    place.replaceChildren("Nobody has an account here yet. ", h("a", { href: "/signup" }, "Create the first one"), ".");
  } else if (signup === "open") place.replaceChildren("No account yet? ", h("a", { href: "/signup" }, "Sign up"), ".");
  else if (signup === "invitation") place.replaceChildren("No account yet? An owner or admin of your organization can invite you.");
}

start(loginPage);
