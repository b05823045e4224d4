/** The user's own name and password. */
import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { ApiError } from "../http.js";
import { roleLabel } from "../session.js";
import { type Context, panel, type Section } from "./context.js";
import * as requests from "./requests.js";

export const ACCOUNT: Section = { name: "account", label: "Your account", takes: [], build };

function build({ session, renamed }: Context): HTMLElement {
  const name = h("input", { id: "account-name", autocomplete: "name", required: true, maxlength: 100, value: session.name });
  const profile = new Form({
    id: "account",
    submit: "Save name",
    fields: [field("name", "Your name", name, "Your colleagues see this name.")],
    async save() {
      const wanted = name.value.trim();
      await requests.accountRename(wanted);
      session.name = wanted;
      renamed();
      return "Saved";
    },
  });
  const fact = (term: string, value: string): HTMLElement => h("div", {}, h("dt", {}, term), h("dd", {}, value || "None"));
  const facts = h(
    "dl",
    { class: "facts" },
    fact("Email", session.email),
    fact("Role", roleLabel(session.role)),
    fact("Phone name", session.sipName),
  );

  const current = h("input", {
    id: "password-current",
    type: "password",
    autocomplete: "current-password",
    required: true,
    maxlength: 256,
  });
  const next = h("input", { id: "password-new", type: "password", autocomplete: "new-password", required: true, maxlength: 256 });
  const password = new Form({
    id: "password",
    submit: "Change password",
    fields: [
      field("current", "Current password", current),
      field("new", "New password", next, "At least 12 characters. Your other sessions will end."),
    ],
    async save() {
      if (next.value === current.value) throw new ApiError(0, "This is your current password.", "new");
      await requests.passwordChange(current.value, next.value);
      current.value = next.value = "";
      return "Changed. Your other sessions have ended.";
    },
  });
  return h(
    "div",
    { class: "stack wide-gap" },
    panel("Your account", "Your name, role and phone.", [], profile.element, facts),
    panel("Password", "Choose a password that you use nowhere else.", [], password.element),
  );
}
