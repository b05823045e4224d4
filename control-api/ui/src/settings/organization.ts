/** The organization: its name, how long things are kept. */
import { h } from "../dom.js";
import { field, Form } from "../form.js";
import { dateOnly } from "../words.js";
import { loaded, lockNote, panel, type Context, type Section } from "./context.js";
import * as requests from "./requests.js";
import type { Organization } from "./shapes.js";

export const ORGANIZATION: Section = { name: "organization", label: "Organization", takes: ["organization.read"], build };

function build(context: Context): HTMLElement {
  return h("div", { class: "stack wide-gap" },
    loaded(requests.organizationShow, (organization) => [
      panel("Organization", "The name stands in invitations and on every page.", [], form(context, organization),
        h("dl", { class: "facts" }, fact("Since", dateOnly(organization.createdAt, 0)))),
      panel("Retention", "How long recordings and events are kept. What is older is deleted for good.", [], retention(context, organization)),
    ]));
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
