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
    loaded(requests.organizationShow, (organization) => [
      panel("Organization", "The name stands in invitations and on every page.", [], form(context, organization),
        h("dl", { class: "facts" }, fact("Since", dateOnly(organization.createdAt, 0)))),
      panel("Retention", "How long recordings and events are kept. What is older is deleted for good.", [], retention(context, organization)),
    ]),
    may(context.session, "usage.read") && limits());
}

const LIMITS: Record<string, string> = {
  default: "Requests", calls: "Calls started", speech: "Speech on demand", configuration: "Changes of settings", retention: "Changes of retention",
};

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

function fact(term: string, value: string): HTMLElement {
  return h("div", {}, h("dt", {}, term), h("dd", {}, value));
}

function retention(context: Context, { recordingsDays, eventsDays }: Organization): HTMLElement {
  const locked = lockNote(context, "retention.write", "how long things are kept");
  if (locked) {
    const days = (count: number | null): string => (count === null ? "For ever" : count === 1 ? "1 day" : `${count.toLocaleString("en")} days`);
    return h("div", { class: "form" }, h("dl", { class: "facts" }, fact("Recordings are kept", days(recordingsDays)), fact("Events are kept", days(eventsDays))), locked);
  }
  const input = (id: string, days: number | null): HTMLInputElement =>
    h("input", { id: `retention-${id}`, type: "number", min: 1, max: 36500, step: 1, inputmode: "numeric", value: days, placeholder: "For ever" });
  const [recordings, events] = [input("recordings_days", recordingsDays), input("events_days", eventsDays)];
  const fields = [field("recordings_days", "Recordings, in days", recordings, "Empty: for ever."), field("events_days", "Events, in days", events, "Empty: for ever.")];
  const number = (from: HTMLInputElement): number | null => (from.value === "" ? null : Number(from.value));
  return new Form({
    id: "retention",
    submit: "Save retention",
    fields,
    layout: [h("div", { class: "pair-row" }, ...fields.map(({ element }) => element))],
    async save() {
      await requests.retentionPut(number(recordings), number(events));
      return "Saved";
    },
  }).element;
}

function limits(): HTMLElement {
  const list = new Records<Limit>({
    id: "limits",
    caption: "Limits",
    empty: "Nothing is limited.",
    key: ({ name }) => name,
    load: async () => ({ items: await requests.limitList(), next: null }),
    columns: [
      { label: "What", kind: "main", cell: ({ name }) => LIMITS[name] ?? name },
      { label: "At most", cell: limitText },
      { label: "Left now", kind: "number", cell: ({ remaining }) => remaining?.toLocaleString("en") ?? "" },
    ],
  });
  void list.refresh();
  return panel("Limits", "How often things may be done before the server asks to wait.", [], list.element);
}
