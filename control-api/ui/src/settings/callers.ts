/** Caller identities: the organization's numbers, and the rules that choose which number is shown. */
import { confirm } from "../dialog.js";
import { h, ICON, icon } from "../dom.js";
import { Form, field, select } from "../form.js";
import { compact } from "../numbers.js";
import { loadProblem, Records } from "../records.js";
import { may } from "../session.js";
import { type Context, formDialog, iconButton, lockNote, panel, type Section, tools } from "./context.js";
import { openProgram } from "./program.js";
import * as requests from "./requests.js";
import { type CallerNumber, type CallerRule, ruleText } from "./shapes.js";

export const CALLERS: Section = { name: "caller-id", label: "Caller identities", takes: ["voice.read"], build };

function build(context: Context): HTMLElement {
  const writes = may(context.session, "voice.write");
  const rules = ruleTable(writes);
  const numbers = numberTable(writes, () => void rules.refresh());
  void numbers.refresh();
  void rules.refresh();
  const addNumber = h(
    "button",
    { id: "number-add", class: "primary", type: "button", onclick: () => editNumber(numbers) },
    icon(ICON.plus),
    "Add number",
  );
  const addRule = h(
    "button",
    { id: "rule-add", class: "primary", type: "button", onclick: () => void editRule(rules) },
    icon(ICON.plus),
    "Add rule",
  );
  return h(
    "div",
    { class: "stack wide-gap" },
    panel(
      "Numbers",
      "Numbers that you can show to people you call. Calls to them reach your organization. Both apply once a number is proven.",
      [writes ? addNumber : null],
      lockNote(context, "voice.write", "the caller identities"),
      numbers.element,
    ),
    panel(
      "Rules",
      "Which number is shown for which agent and destination. The first matching rule applies, from the top.",
      [writes ? addRule : null],
      rules.element,
    ),
  );
}

function numberTable(writes: boolean, changed: () => void): Records<CallerNumber> {
  const list: Records<CallerNumber> = new Records<CallerNumber>({
    id: "numbers",
    caption: "Numbers",
    empty: "There are no numbers yet: calls show the trunk's number.",
    key: ({ id }) => id,
    load: requests.numberList,
    columns: [
      { label: "Number", kind: "main", cell: ({ number }) => h("strong", {}, number) },
      { label: "Label", cell: ({ label }) => label || h("span", { class: "muted" }, "None") },
      {
        label: "Proven",
        cell: (number) =>
          number.proven
            ? "Yes"
            : h(
                "span",
                { class: "choice" },
                h("span", { class: "muted whole" }, "Not yet"),
                writes
                  ? h(
                      "button",
                      {
                        class: "small",
                        type: "button",
                        "data-act": "prove",
                        "data-role": "prove",
                        "aria-label": `Prove ${number.number}`,
                        onclick: () => proveNumber(list, number),
                      },
                      "Prove",
                    )
                  : null,
              ),
      },
      {
        label: "Actions",
        kind: "tools",
        cell: (number) =>
          writes
            ? tools(
                iconButton(ICON.list, `Program of ${number.number}`, "program", () => openProgram(number, false)),
                iconButton(ICON.edit, `Edit the label of ${number.number}`, "edit", () => editNumber(list, number)),
                iconButton(ICON.trash, `Remove ${number.number}`, "remove", () => remove(number)),
              )
            : tools(iconButton(ICON.list, `Program of ${number.number}`, "program", () => openProgram(number, true))),
      },
    ],
  });
  const remove = (number: CallerNumber): void =>
    confirm({
      id: "number-remove",
      title: `Remove ${number.number}?`,
      text: "It can no longer be shown to anybody. Rules that use it are removed too.",
      action: "Remove",
      run: async () => {
        await requests.numberRemove(number.id);
        void list.refresh();
        changed();
      },
    });
  return list;
}

function editNumber(list: Records<CallerNumber>, known?: CallerNumber): void {
  formDialog(known ? "Edit label" : "Add number", "number-dialog", list, (dialog, done) => {
    const number = h("input", {
      id: "number-number",
      type: "tel",
      required: true,
      maxlength: 40,
      autocomplete: "off",
      value: known?.number,
      readonly: known !== undefined,
    });
    const label = h("input", { id: "number-label", maxlength: 100, autocomplete: "off", value: known?.label });
    return new Form({
      id: "number-form",
      submit: known ? "Save" : "Add",
      cancel: () => dialog.close(),
      fields: [
        field(
          "number",
          "Number",
          number,
          known ? "A number cannot be changed: remove it and add another." : "With + and country code, such as +44 20 7946 0123",
        ),
        field("label", "Label (optional)", label, "For example Madrid office"),
      ],
      async save() {
        const text = label.value.trim();
        await (known
          ? requests.numberLabel(known.id, text)
          : requests.numberCreate({ number: compact(number.value), ...(text ? { label: text } : {}) }));
        done();
      },
    });
  });
}

/** Has the number called, and asks for the code that the call speaks. */
function proveNumber(list: Records<CallerNumber>, number: CallerNumber): void {
  formDialog(`Prove ${number.number}`, "prove-dialog", list, (dialog, done) => {
    const code = h("input", { id: "prove-code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 6, pattern: "[0-9]{6}" });
    let called = false;
    return new Form({
      id: "prove-form",
      submit: "Continue",
      cancel: () => dialog.close(),
      fields: [
        field(
          "code",
          "Code",
          code,
          "Leave empty and continue: we call the number and speak a six-digit code. Type the code here, then continue.",
        ),
      ],
      async save() {
        if (code.value.trim() === "") {
          if (called) throw new Error("The number was called. Type the code that you heard.");
          await requests.numberCall(number.id);
          called = true;
          throw new Error("The number is being called. Type the code that you hear.");
        }
        await requests.numberCode(number.id, code.value.trim());
        done();
      },
    });
  });
}

function ruleTable(writes: boolean): Records<CallerRule> {
  const list: Records<CallerRule> = new Records<CallerRule>({
    id: "rules",
    caption: "Rules",
    empty: "There are no rules yet.",
    key: ({ id }) => id,
    load: requests.ruleList,
    columns: [
      { label: "Position", kind: "number", cell: ({ position }) => String(position) },
      { label: "For", kind: "main", cell: (rule) => ruleText(rule) },
      { label: "Shows", cell: ({ number }) => h("strong", {}, number) },
      {
        label: "Actions",
        kind: "tools",
        cell: (rule) =>
          writes
            ? tools(
                iconButton(ICON.edit, `Edit rule ${rule.position}`, "edit", () => void editRule(list, rule)),
                iconButton(ICON.trash, `Remove rule ${rule.position}`, "remove", () => remove(rule)),
              )
            : "",
      },
    ],
  });
  const remove = (rule: CallerRule): void =>
    confirm({
      id: "rule-remove",
      title: "Remove this rule?",
      text: `${ruleText(rule)}: this rule no longer chooses ${rule.number}.`,
      action: "Remove",
      run: async () => {
        await requests.ruleRemove(rule.id);
        void list.refresh();
      },
    });
  return list;
}

async function editRule(list: Records<CallerRule>, rule?: CallerRule): Promise<void> {
  let problem = "";
  const members = requests.memberList(null).then(
    ({ items }) => items,
    () => [],
  );
  const numbers = await requests.numberAll().catch((error: unknown): CallerNumber[] => {
    problem = loadProblem(error);
    return [];
  });
  // Suggestions; other names can be typed.
  const agents = h(
    "datalist",
    { id: "rule-agents" },
    ...(await members).filter(({ sipName }) => sipName !== "").map(({ sipName, name }) => h("option", { value: sipName }, name)),
  );
  formDialog(rule ? "Edit rule" : "Add rule", "rule-dialog", list, (dialog, done) => {
    const number = select(
      "rule-number_id",
      numbers.map(({ id, number: shown, label }) => [id, label ? `${shown} (${label})` : shown] as const),
      rule?.numberId,
    );
    const optional = (name: string, value: string | undefined, more: Record<string, string> = {}): HTMLInputElement =>
      h("input", { id: `rule-${name}`, maxlength: 64, autocomplete: "off", spellcheck: "false", value, ...more });
    const [agent, campaign] = [optional("agent", rule?.agent, { list: "rule-agents" }), optional("campaign", rule?.campaign)];
    const prefix = optional("destination_prefix", rule?.prefix, { type: "tel", placeholder: "+44" });
    const position = h("input", {
      id: "rule-position",
      type: "number",
      min: 0,
      max: 1000000,
      step: 1,
      inputmode: "numeric",
      value: rule?.position,
    });
    const fields = [
      field("number_id", "Number to show", number),
      field("agent", "Agent (optional)", agent, "Phone name. Leave empty for everybody."),
      field("campaign", "Campaign (optional)", campaign, "Leave empty for all calls, with or without a campaign."),
      field("destination_prefix", "Destination begins with (optional)", prefix, "Leave empty for any number."),
      field(
        "position",
        "Position (optional)",
        position,
        `Lower positions are checked first.${rule ? "" : " Leave empty to add the rule at the end."}`,
      ),
    ];
    return new Form({
      id: "rule-form",
      submit: rule ? "Save" : "Add",
      cancel: () => dialog.close(),
      locked: numbers.length === 0 ? problem || "Add a number first: rules choose among your numbers." : undefined,
      fields,
      layout: [...fields.map(({ element }) => element), agents],
      async save() {
        const filled = (input: HTMLInputElement): string | null => input.value.trim() || null;
        const draft = {
          number_id: number.value,
          agent: filled(agent),
          campaign: filled(campaign),
          destination_prefix: prefix.value.trim() === "" ? null : compact(prefix.value),
          ...(position.value === "" ? {} : { position: Number(position.value) }),
        };
        await (rule ? requests.ruleChange(rule.id, draft) : requests.ruleCreate(draft));
        done();
      },
    });
  });
}
