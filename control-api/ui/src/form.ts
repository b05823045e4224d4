/**
 * Forms: "Saved" is shown only after the server has confirmed it, and a refusal is shown beside the field that it names.
 *
 *   edited ─▶ sending ─▶ saved │ refused (at the field, else below the form) ─▶ edited
 */

import { h, ICON, icon, setText } from "./dom.js";
import { ApiError } from "./http.js";
import { fieldMeant } from "./refusals.js";

export type Input = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

/** A form's field. */
export interface Field {
  name: string;
  element: HTMLElement;
  /** The input, or the first one of a group. */
  input: Input;
  problem: HTMLElement;
}

/** Returns a field with the input, its label, a hint, and room for a refusal. The input's id must be set. */
export function field(name: string, label: string, input: Input, hint = ""): Field {
  const problem = h("p", { id: `${input.id}-problem`, class: "problem", role: "alert" });
  const note = h("p", { id: `${input.id}-hint`, class: "hint" }, hint);
  input.setAttribute("aria-describedby", `${note.id} ${problem.id}`);
  const shown = input instanceof HTMLInputElement && input.type === "password" ? withReveal(input) : input;
  return {
    name,
    input,
    problem,
    element: h("div", { class: "row", "data-field": name }, h("label", { for: input.id }, label), shown, note, problem),
  };
}

/** Returns a switch with its label and description. */
export function toggle(
  name: string,
  id: string,
  label: string,
  about: string,
  checked: boolean,
  disabled = false,
): Field & { input: HTMLInputElement } {
  const input = h("input", { id, type: "checkbox", role: "switch", checked, disabled, "aria-describedby": `${id}-hint ${id}-problem` });
  const problem = h("p", { id: `${id}-problem`, class: "problem", role: "alert" });
  const words = h(
    "span",
    { class: "switch-words" },
    h("label", { for: id }, label),
    h("span", { id: `${id}-hint`, class: "hint" }, about),
    problem,
  );
  return { name, input, problem, element: h("div", { class: "switch", "data-field": name }, words, input) };
}

/** Returns a group of checkboxes as one field. */
export function boxes(
  name: string,
  id: string,
  legend: string,
  hint: string,
  all: readonly { value: string; label: string; about: string }[],
): Field & { chosen(): string[]; choose(values: readonly string[]): void } {
  const problem = h("p", { id: `${id}-problem`, class: "problem", role: "alert" });
  const inputs = all.map(({ value }) => h("input", { type: "checkbox", value, id: `${id}-${value.replace(/\W/g, "-")}` }));
  const element = h(
    "fieldset",
    { class: "row boxes", "data-field": name },
    h("legend", {}, legend),
    h("p", { class: "hint" }, hint),
    h(
      "div",
      { class: "box-list" },
      ...all.map(({ label, about }, index) => {
        const input = inputs[index] as HTMLInputElement;
        return h("label", { class: "box", for: input.id }, input, h("span", {}, label, h("small", {}, about)));
      }),
    ),
    problem,
  );
  return {
    name,
    problem,
    element,
    input: inputs[0] ?? h("input", {}),
    chosen: () => inputs.filter((input) => input.checked).map((input) => input.value),
    choose: (values) => {
      for (const input of inputs) input.checked = values.includes(input.value);
    },
  };
}

/** Returns a select element. A chosen value that is not among the options is added to them. */
export function select(id: string, options: readonly (readonly [value: string, label: string])[], chosen = ""): HTMLSelectElement {
  const element = h("select", { id }, ...options.map(([value, label]) => h("option", { value }, label)));
  element.value = chosen;
  if (element.selectedIndex < 0) {
    if (chosen !== "") element.append(h("option", { value: chosen }, chosen));
    element.value = chosen !== "" ? chosen : (options[0]?.[0] ?? "");
  }
  return element;
}

function withReveal(input: HTMLInputElement): HTMLElement {
  const button = h("button", { class: "quiet reveal", type: "button", "aria-label": "Show the password", "aria-pressed": "false" }, "Show");
  button.addEventListener("click", () => {
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
    setText(button, shown ? "Hide" : "Show");
  });
  return h("div", { class: "revealed" }, input, button);
}

export interface FormOptions {
  id: string;
  submit: string;
  fields: readonly Field[];
  /** Arrangement of the fields' elements; by default they follow each other. */
  layout?: readonly Node[];
  /** Sends the form. The returned text is shown as success; without one the form's owner shows the result. */
  save(): Promise<string | undefined> | Promise<void>;
  /** Classes of the button. */
  look?: string;
  /** Why the form cannot be sent; it disables all fields and replaces the button. */
  locked?: string | undefined;
  cancel?: () => void;
  /** Whether nobody is signed in yet, so that a 401 does not mean a lost session. */
  anonymous?: boolean;
}

/** Advice by status, for refusals of actions that the page has offered. */
const ADVICE: Record<number, string> = {
  401: "Your session may have ended: sign in again in another tab, then try again.",
  403: "Your role may have changed: reload the page to see what you can do now.",
};

export class Form {
  readonly element: HTMLFormElement;
  private readonly button: HTMLButtonElement;
  private readonly status: HTMLElement;
  private readonly problem: HTMLElement;
  private sending = false;

  constructor(private readonly options: FormOptions) {
    const { id } = options;
    this.button = h("button", { id: `${id}-submit`, class: options.look ?? "primary", type: "submit" }, options.submit);
    this.status = h("p", { id: `${id}-status`, class: "saved", role: "status" });
    this.problem = h("p", { id: `${id}-problem`, class: "problem form-problem", role: "alert" });
    const cancel = options.cancel ? h("button", { class: "quiet", type: "button", onclick: options.cancel }, "Cancel") : null;
    const actions =
      options.locked === undefined
        ? h("div", { class: "actions" }, this.button, cancel, this.status)
        : h("p", { class: "note" }, options.locked);
    this.element = h(
      "form",
      { id, class: "form" },
      ...(options.layout ?? options.fields.map(({ element }) => element)),
      this.problem,
      actions,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
    this.element.addEventListener("input", () => this.status.replaceChildren());
    if (options.locked !== undefined)
      for (const control of this.element.querySelectorAll<Input>("input, select, textarea")) control.disabled = true;
  }

  /** Shows a refusal at its field, else below the form. */
  refuse(error: unknown): void {
    const { fields } = this.options;
    const refusal =
      error instanceof ApiError ? error : new ApiError(0, error instanceof Error ? error.message : "This could not be saved.");
    const name = fieldMeant(
      refusal.field,
      fields.map((one) => one.name),
    );
    const meant = fields.find((one) => one.name === name);
    if (!meant) {
      setText(this.problem, [refusal.message, this.options.anonymous ? "" : (ADVICE[refusal.status] ?? "")].filter(Boolean).join(" "));
      return;
    }
    setText(meant.problem, refusal.plain);
    meant.input.setAttribute("aria-invalid", "true");
    // The field may be inside a closed details element.
    meant.input.closest("details")?.setAttribute("open", "");
    meant.input.focus();
  }

  private async send(): Promise<void> {
    // Enter in a field submits the form even while the button is disabled.
    if (this.sending || this.options.locked !== undefined) return;
    this.sending = true;
    this.clear();
    this.button.disabled = true;
    this.element.setAttribute("aria-busy", "true");
    try {
      const said = await this.options.save();
      if (said) this.status.replaceChildren(icon("M5 12.500l4.500 4.500L19 7.500"), said);
    } catch (error) {
      this.refuse(error);
    }
    this.sending = false;
    this.button.disabled = false;
    this.element.removeAttribute("aria-busy");
  }

  private clear(): void {
    this.status.replaceChildren();
    setText(this.problem, "");
    for (const one of this.options.fields) {
      setText(one.problem, "");
      one.input.removeAttribute("aria-invalid");
    }
  }
}

/** Returns a read-only input, such as for a link or a key, with a button that copies its value. */
export function copyLine(id: string, label: string, value: string): HTMLElement {
  const input = h("input", { id, class: "copied", readonly: true, value, spellcheck: "false" });
  const button = h("button", { class: "plain", type: "button", "data-role": "copy" }, icon(ICON.copy), h("span", {}, "Copy"));
  const status = h("span", { class: "sr", role: "status" });
  button.addEventListener("click", () => {
    void copy(input).then((done) => {
      setText(button.querySelector("span") ?? button, done ? "Copied" : "Press Ctrl+C");
      setText(status, done ? "Copied" : "Selected: press Ctrl+C to copy");
    });
  });
  input.addEventListener("focus", () => input.select());
  return h("div", { class: "row" }, h("label", { for: id }, label), h("div", { class: "field" }, input, button), status);
}

async function copy(input: HTMLInputElement): Promise<boolean> {
  input.select();
  try {
    // Missing on pages without TLS.
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(input.value);
      return true;
    }
    return document.execCommand("copy");
  } catch {
    return false;
  }
}
