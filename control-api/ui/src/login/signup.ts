/** The sign-up page: for the first user of a new installation, or for everybody if sign-up is open. */
import * as api from "../api.js";
import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { start } from "../start.js";
import { enter, frame, PASSWORD_HINT, passwordInput } from "./frame.js";

/** Opens the page. */
function signupPage(): void {
  frame("Sign up", "One moment …");
  api.providers().then(
    ({ signup, signupCode }) => (signup === "invitation" ? closed() : open(signup === "first_user", signupCode)),
    (error: unknown) => refused(error),
  );
}

const back = (): HTMLElement => h("p", { class: "hint" }, "Already have an account? ", h("a", { href: "/login" }, "Sign in"), ".");

function closed(): void {
  frame(
    "Sign up",
    "New accounts are by invitation only.",
    h(
      "p",
      { id: "signup-closed", class: "note" },
      "Ask an owner or admin of your organization for an invitation. They can send you a link.",
    ),
    back(),
  );
}

function refused(error: unknown): void {
  const missing = error instanceof api.ApiError && error.status === 404;
  const text = missing ? "This server does not offer sign-up." : error instanceof Error ? error.message : "Sign-up cannot be shown.";
  frame("Sign up", "That did not work.", h("p", { id: "signup-closed", class: "problem", role: "alert" }, text), back());
}

function open(first: boolean, coded: boolean): void {
  const code = h("input", { id: "signup-code", name: "code", autocomplete: "off", spellcheck: "false", required: coded, maxlength: 64 });
  const organization = h("input", {
    id: "signup-organization",
    name: "organization",
    autocomplete: "organization",
    required: true,
    maxlength: 100,
  });
  const name = h("input", { id: "signup-name", name: "name", autocomplete: "name", required: true, maxlength: 100 });
  const email = h("input", { id: "signup-email", name: "email", type: "email", autocomplete: "username", required: true, maxlength: 254 });
  const password = passwordInput("signup-password", "new-password");
  const sipName = h("input", { id: "signup-sip_name", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const form = new Form({
    id: "signup",
    submit: first ? "Create organization" : "Sign up",
    look: "primary wide",
    anonymous: true,
    fields: [
      ...(coded
        ? [
            field(
              "code",
              "Sign-up code",
              code,
              "The server printed it when it started. It is also in the file signup-code in the server's data folder.",
            ),
          ]
        : []),
      field("organization", "Organization", organization),
      field("name", "Your name", name),
      field("email", "Email", email),
      field("password", "Password", password, PASSWORD_HINT),
      field(
        "sip_name",
        "Phone name (optional)",
        sipName,
        "How calls reach your phone, such as ana. Left empty, it is made from your email.",
      ),
    ],
    async save() {
      const phone = sipName.value.trim();
      enter(
        await api.signup({
          organization: organization.value.trim(),
          name: name.value.trim(),
          email: email.value.trim(),
          password: password.value,
          ...(phone ? { sip_name: phone } : {}),
          ...(coded ? { code: code.value.trim() } : {}),
        }),
      );
    },
  });
  frame(
    first ? "Set up Tandem" : "Sign up",
    first
      ? "You become the owner of the first organization. You can invite others later."
      : "Creates an organization with you as its owner.",
    form.element,
    back(),
  );
  (coded ? code : organization).focus();
}

start(signupPage);
