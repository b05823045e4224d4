/** The organization: name, retention and its own limits. */
import { askToConfirm } from "../dialog.js";
import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { dateOnly } from "../words.js";
import { type Context, loaded, lockNote, panel, type Section } from "./context.js";
import * as requests from "./requests.js";
import { LIMITS, type Limit, type Organization, type Retention, retentionWarning, windowText } from "./shapes.js";

export const ORGANIZATION: Section = { name: "organization", label: "Organization", takes: ["organization.read"], build };

function build(context: Context): HTMLElement {
  return h(
    "div",
    { class: "stack wide-gap" },
    loaded(
      () => Promise.all([requests.organizationShow(), requests.limitList()]),
      ([organization, limits]) => [
        panel(
          "Organization",
          "The name appears in invitations and on every page.",
          [],
          form(context, organization),
          h("dl", { class: "facts" }, fact("Since", dateOnly(organization.createdAt, 0))),
        ),
        panel(
          "Retention",
          "How long recordings and events are kept. Older ones are deleted permanently.",
          [],
          retention(context, organization),
        ),
        panel(
          "Limits",
          "How often each member and each key may make requests: up to the server's limits, or less if you set lower ones.",
          [],
          ownLimits(context, organization, limits),
        ),
      ],
    ),
  );
}

function ownLimits(context: Context, organization: Organization, limits: readonly Limit[]): HTMLElement {
  if (limits.every(({ name, limit }) => limit === null && !organization.limits.has(name)))
    return h("p", { class: "empty" }, "This server sets no limits.");
  const locked = lockNote(context, "organization.write", "the limits");
  const off = locked !== null;
  const made = limits.map(({ name, limit, windowS }) => {
    const own = organization.limits.get(name);
    // If the server has no limit, a limit of the organization has no effect.
    const none = limit === null && own === undefined;
    const input = h("input", {
      id: `limit-${name}`,
      type: "number",
      min: 1,
      step: 1,
      inputmode: "numeric",
      value: own,
      disabled: off || none,
      placeholder: none ? "No limit" : own === undefined && limit !== null ? limit.toLocaleString("en") : "Server's limit",
    });
    return { ...field(name, `${LIMITS[name] ?? name} ${limit === null ? "" : windowText(windowS)}`.trim(), input), input };
  });
  const grid = h("div", { class: "pair-row" }, ...made.map(({ element }) => element));
  if (locked) return h("div", { class: "form" }, grid, locked);
  return new Form({
    id: "limits",
    submit: "Save limits",
    fields: made,
    layout: [grid],
    async save() {
      await requests.limitsPatch(
        Object.fromEntries(made.flatMap(({ name, input }) => (input.value === "" ? [] : [[name, Number(input.value)] as const]))),
      );
      return "Saved";
    },
  }).element;
}

function form(context: Context, organization: Organization): HTMLElement {
  const name = h("input", {
    id: "organization-name",
    required: true,
    maxlength: 100,
    autocomplete: "organization",
    value: organization.name,
  });
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
      const wanted = name.value.trim();
      await requests.organizationRename(wanted);
      context.session.organization = wanted;
      context.renamed();
      return "Saved";
    },
  }).element;
}

function fact(term: string, value: string): HTMLElement {
  return h("div", {}, h("dt", {}, term), h("dd", {}, value));
}

function retention(context: Context, { recordingsDays, eventsDays }: Organization): HTMLElement {
  let kept: Retention = { recordingsDays, eventsDays };
  const locked = lockNote(context, "retention.write", "the retention");
  if (locked) {
    const days = (count: number | null): string =>
      count === null ? "Forever" : count === 1 ? "1 day" : `${count.toLocaleString("en")} days`;
    return h(
      "div",
      { class: "form" },
      h("dl", { class: "facts" }, fact("Recordings are kept", days(recordingsDays)), fact("Events are kept", days(eventsDays))),
      locked,
    );
  }
  const input = (id: string, days: number | null): HTMLInputElement =>
    h("input", {
      id: `retention-${id}`,
      type: "number",
      min: 1,
      max: 36500,
      step: 1,
      inputmode: "numeric",
      value: days,
      placeholder: "Forever",
    });
  const [recordings, events] = [input("recordings_days", recordingsDays), input("events_days", eventsDays)];
  const fields = [
    field("recordings_days", "Recordings, in days", recordings, "Leave empty to keep them forever."),
    field("events_days", "Events, in days", events, "Leave empty to keep them forever."),
  ];
  const number = (from: HTMLInputElement): number | null => (from.value === "" ? null : Number(from.value));
  return new Form({
    id: "retention",
    submit: "Save retention",
    fields,
    layout: [h("div", { class: "pair-row" }, ...fields.map(({ element }) => element))],
    async save() {
      const wanted: Retention = { recordingsDays: number(recordings), eventsDays: number(events) };
      const warning = retentionWarning(kept, wanted);
      const sure =
        warning === undefined ||
        (await askToConfirm({ id: "retention-confirm", title: "Delete older data?", text: warning, action: "Save and delete" }));
      if (!sure) return undefined;
      await requests.retentionPut(wanted.recordingsDays, wanted.eventsDays);
      kept = wanted;
      return "Saved";
    },
  }).element;
}
