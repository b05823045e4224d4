/** The organization: its name, how long things are kept, how often things may be done. */
import { h } from "../dom.js";
import { field, Form } from "../form.js";
import { Records } from "../records.js";
import { may } from "../session.js";
import { dateOnly } from "../words.js";
import { loaded, lockNote, panel, type Context, type Section } from "./context.js";
import * as requests from "./requests.js";
import { limitText, type Limit, type Organization } from "./shapes.js";

export const ORGANIZATION: Section = { name: "organization", label: "Organization", takes: ["organization.read"], build };

function build(context: Context): HTMLElement {
  return h("div", { class: "stack wide-gap" },
    panel("Organization", "The name stands in invitations and on every page.", [],
      loaded(requests.organizationShow, (organization) => [form(context, organization), facts(organization)])),
    may(context.session, "usage.read") && limits());
}

function form(context: Context, organization: Organization): HTMLElement {
  const name = h("input", { id: "organization-name", required: true, maxlength: 100, autocomplete: "organization", value: organization.name });
  const locked = lockNote(context, "organization.write", "the organization");
  if (locked) {
    name.disabled = true;
    return h("div", { class: "form" }, field("name", "Name", name).element, locked);
  }
  return new Form({
    id: "organization",
    submit: "Save name",
    fields: [field("name", "Name", name)],
    async save() {
      await requests.organizationRename(name.value.trim());
      return "Saved";
    },
  }).element;
}

function facts(organization: Organization): HTMLElement {
  const days = (count: number | null): string => (count === null ? "Until deleted" : count === 1 ? "1 day" : `${count.toLocaleString("en")} days`);
  const fact = (term: string, value: string): HTMLElement => h("div", {}, h("dt", {}, term), h("dd", {}, value));
  return h("dl", { class: "facts" },
    fact("Since", dateOnly(organization.createdAt, 0)), fact("Recordings are kept", days(organization.recordingsDays)), fact("Events are kept", days(organization.eventsDays)));
}

function limits(): HTMLElement {
  const list = new Records<Limit>({
    id: "limits",
    caption: "Limits",
    empty: "Nothing is limited.",
    key: ({ name }) => name,
    load: async () => ({ items: await requests.limitList(), next: null }),
    columns: [
      { label: "What", kind: "main", cell: ({ name }) => limitName(name) },
      { label: "At most", cell: limitText },
      { label: "Left now", kind: "number", cell: ({ remaining }) => (remaining === null ? "" : remaining.toLocaleString("en")) },
    ],
  });
  void list.refresh();
  return panel("Limits", "How often things may be done before the server asks to wait.", [], list.element);
}

function limitName(name: string): string {
  const words = name.replace(/[._-]+/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
