/** The audit log: list, filters, export, and the check that no entry was altered. */
import { NO_FILTERS, queryOf, WHEN, type When } from "../calllist/filters.js";
import { h, ICON, icon, setText } from "../dom.js";
import { field, select } from "../form.js";
import { Records } from "../records.js";
import { dateTime } from "../words.js";
import { panel, type Section } from "./context.js";
import * as requests from "./requests.js";
import type { AuditEntry } from "./shapes.js";

export const AUDIT: Section = { name: "audit", label: "Audit log", takes: ["audit.read"], build };

function build(): HTMLElement {
  const actor = h("input", { id: "audit-actor", type: "search", autocomplete: "off", spellcheck: "false", maxlength: 200 });
  const action = h("input", {
    id: "audit-action",
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 100,
    list: "audit-actions",
  });
  const when = select(
    "audit-when",
    WHEN.filter(([value]) => value !== "between"),
  );
  const actions = h("datalist", { id: "audit-actions" });
  let query = new URLSearchParams();
  const list = new Records<AuditEntry>({
    id: "audit",
    caption: "Audit log",
    empty: "No entries match.",
    key: ({ id }) => id,
    load: async (cursor) => {
      const page = await requests.auditList(query, cursor);
      const known = new Set([...actions.children].map((option) => option.getAttribute("value")));
      for (const name of new Set(page.items.map((entry) => entry.action)))
        if (!known.has(name)) actions.append(h("option", { value: name }));
      return page;
    },
    columns: [
      {
        label: "Who",
        kind: "main",
        cell: (entry) =>
          h(
            "div",
            { class: "two-lines" },
            h("strong", {}, entry.actor || entry.kind),
            h("time", { class: "muted", datetime: entry.at }, dateTime(entry.at, Date.now(), true)),
          ),
      },
      {
        label: "What",
        kind: "long",
        cell: ({ action: name, target }) => h("div", { class: "two-lines" }, h("code", {}, name), targetLink(target)),
      },
      {
        label: "Change",
        kind: "long",
        cell: ({ changes }) => h("div", { class: "two-lines" }, ...changes.map((change) => h("span", {}, change))),
      },
      { label: "From", kind: "long", cell: ({ address }) => h("span", { class: address.length < 16 ? "whole" : null }, address) },
    ],
  });
  const links = h("div", { class: "panel-tools" });
  const ask = (): void => {
    query = queryOf({ ...NO_FILTERS, when: when.value as When }, new Date());
    if (actor.value.trim() !== "") query.set("actor", actor.value.trim());
    if (action.value.trim() !== "") query.set("action", action.value.trim());
    links.replaceChildren(...["csv", "json"].map((format) => exported(format, query)));
    void list.refresh();
  };
  for (const input of [actor, action, when]) input.addEventListener("change", ask);
  ask();
  return panel(
    "Audit log",
    "Every change, sign-in and played recording, and who did it. Entries are chained by hashes and never altered.",
    [links],
    h(
      "div",
      { class: "filter-grid" },
      field("when", "Time", when).element,
      field("actor", "Who", actor, "Email or key name").element,
      field("action", "What", action, "Such as member.update").element,
    ),
    list.element,
    actions,
    proof(),
  );
}

/** Returns the target of an entry, as a link for calls. */
function targetLink(target: string): HTMLElement {
  const call = /^call:([\w-]+)/.exec(target)?.[1];
  return call ? h("a", { href: `/calls/${call}` }, target) : h("span", { class: "muted" }, target);
}

function exported(format: string, query: URLSearchParams): HTMLElement {
  const asked = new URLSearchParams(query);
  asked.set("format", format);
  return h(
    "a",
    { id: `audit-${format}`, class: "button quiet", href: `/api/audit-logs/export?${asked}`, download: `audit.${format}` },
    icon(ICON.download),
    format.toUpperCase(),
  );
}

function proof(): HTMLElement {
  const told = h("p", { id: "audit-proof", role: "status" });
  const button = h("button", { id: "audit-verify", class: "plain", type: "button" }, "Check the whole chain");
  button.addEventListener("click", () => {
    button.disabled = true;
    told.className = "";
    setText(told, "Checking …");
    requests
      .auditVerify()
      .then(
        ({ intact, checked }) => {
          told.className = intact ? "saved" : "problem";
          setText(
            told,
            intact
              ? `All ${checked.toLocaleString("en")} entries are as they were written.`
              : `The chain is broken: an entry was altered or removed. ${checked.toLocaleString("en")} were checked.`,
          );
        },
        (error: unknown) => {
          told.className = "problem";
          setText(told, error instanceof Error ? error.message : "The chain could not be checked.");
        },
      )
      .finally(() => (button.disabled = false));
  });
  return h("div", { class: "actions" }, button, told);
}
