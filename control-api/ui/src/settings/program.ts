/** The program of a number: the steps for its calls, or the server that supplies them. */

import menu from "../../../../examples/programs/menu.json?raw";
import survey from "../../../../examples/programs/survey.json?raw";
import voicemail from "../../../../examples/programs/voicemail.json?raw";
import { confirm, Dialog } from "../dialog.js";
import { h, setText } from "../dom.js";
import { copyLine, Form, field, select } from "../form.js";
import { ApiError } from "../http.js";
import { loadProblem } from "../records.js";
import { dateTime } from "../words.js";
import { loaded } from "./context.js";
import { jsonPlace, lineColumn, pathOf, type Span, syntaxFault } from "./jsonplace.js";
import * as requests from "./requests.js";
import { type CallerNumber, type NumberProgram, type ProgramSource, programDraft, programText } from "./shapes.js";

const EXAMPLES: Record<string, readonly [label: string, text: string]> = {
  voicemail: ["Voicemail", voicemail],
  menu: ["A two-level menu", menu],
  survey: ["A survey after the call", survey],
};

/** Opens the program of a number in a dialog. `locked`: read-only. */
export function openProgram(number: CallerNumber, locked: boolean): void {
  const dialog = new Dialog(`Program of ${number.number}`, "program-dialog");
  dialog.element.classList.add("wide-dialog");
  dialog.open(
    loaded(
      () => requests.programShow(number.id),
      (program) => [programForm(number, program, locked, dialog)],
    ),
  );
}

function programForm(number: CallerNumber, program: NumberProgram | undefined, locked: boolean, dialog: Dialog): HTMLElement {
  const source = select(
    "program-source",
    [
      ["none", "No program: the route decides"],
      ["steps", "Steps written here"],
      ["server", "A program server"],
    ],
    program === undefined ? "none" : program.url === null ? "steps" : "server",
  );
  const [steps, fallback] = [editor("program-steps", program?.program), editor("program-fallback", program?.fallback)];
  const url = h("input", {
    id: "program-url",
    type: "url",
    maxlength: 2048,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "https://programs.example.com/tandem",
    value: program?.url ?? "",
  });
  const fields = {
    source: field(
      "source",
      "Calls to this number are handled by",
      source,
      number.proven ? "" : "Calls follow it once the number is proven.",
    ),
    program: field("program", "Steps (JSON)", steps.input, "A list of steps, which run one after the other."),
    url: field(
      "program_url",
      "Address",
      url,
      "It receives a signed request when a call arrives, and must answer with the steps within 2 seconds.",
    ),
    fallback: field(
      "fallback",
      "Fallback steps (JSON, optional)",
      fallback.input,
      "They run if the program server is slow, unreachable or sends an invalid program. Without them the call is ended.",
    ),
  };
  if (!locked)
    for (const [one, editing] of [
      [fields.program, steps],
      [fields.fallback, fallback],
    ] as const)
      one.element.querySelector("label")?.after(editing.tools);
  const secret = signingSecret();
  const show = (): void => {
    const wanted = source.value as ProgramSource;
    fields.program.element.hidden = wanted !== "steps";
    fields.url.element.hidden = secret.hidden = wanted !== "server";
    if (locked) secret.hidden = true;
    fields.fallback.element.hidden = wanted === "none";
  };
  source.addEventListener("change", show);
  show();
  const form = new Form({
    id: "program-form",
    submit: "Save",
    cancel: () => dialog.close(),
    fields: Object.values(fields),
    layout: [fields.source.element, fields.program.element, fields.url.element, secret, fields.fallback.element],
    locked: locked ? "Your role can see the program but cannot change it." : undefined,
    async save() {
      const wanted = source.value as ProgramSource;
      const shown = [
        ...(wanted === "steps" ? [["program", steps] as const] : []),
        ...(wanted === "none" ? [] : [["fallback", fallback] as const]),
      ];
      for (const [name, one] of shown) one.check(name);
      try {
        if (wanted === "none") await (program ? requests.programRemove(number.id) : undefined);
        else
          await requests.programPut(
            number.id,
            programDraft(wanted, { steps: steps.input.value, url: url.value.trim(), fallback: fallback.input.value }),
          );
      } catch (error) {
        throw (
          (error instanceof ApiError &&
            shown
              .find(([name]) => error.field === name || error.field?.startsWith(`${name}.`) || error.field?.startsWith(`${name}[`))?.[1]
              .explain(error)) ||
          error
        );
      }
      dialog.close();
    },
  });
  return form.element;
}

/** Returns an input for JSON that selects the position of an error. */
function editor(id: string, value: unknown) {
  const input = h("textarea", {
    id,
    class: "code-input",
    rows: id === "program-steps" ? 16 : 6,
    spellcheck: "false",
    wrap: "off",
    autocomplete: "off",
  });
  input.value = value === undefined || value === null ? "" : programText(value);
  const go = ({ from, to }: Span): void => {
    const { line } = lineColumn(input.value, from);
    // Runs after the form has focused the input.
    queueMicrotask(() => {
      input.setSelectionRange(from, to);
      input.scrollTop = Math.max(0, (line - 4) * Number.parseFloat(getComputedStyle(input).lineHeight));
    });
  };
  const example = select(`${id}-example`, [
    ["", "Insert an example …"],
    ...Object.entries(EXAMPLES).map(([name, [label]]) => [name, label] as const),
  ]);
  example.setAttribute("aria-label", "Insert an example");
  example.addEventListener("change", () => {
    const text = EXAMPLES[example.value]?.[1];
    example.value = "";
    if (text === undefined) return;
    const put = async (): Promise<void> => {
      input.value = text.trimEnd();
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.focus();
    };
    if (input.value.trim() === "") void put();
    else
      confirm({
        id: "example-replace",
        title: "Replace these steps?",
        text: "The example replaces your current steps.",
        action: "Replace",
        run: put,
      });
  });
  return {
    input,
    tools: h("div", { class: "editor-tools" }, example),
    /** Throws an `ApiError` for the field `name` if the text is not valid JSON. */
    check(name: string): void {
      const text = input.value;
      if (name === "fallback" && text.trim() === "") return;
      const fault = syntaxFault(text);
      if (!fault) return;
      go({ from: fault.at, to: Math.min(text.length, fault.at + 1) });
      const { line, column } = lineColumn(text, fault.at);
      throw new ApiError(
        0,
        text.trim() === "" ? "Write the steps first, or insert an example." : `Line ${line}, column ${column}: ${fault.message}.`,
        name,
      );
    },
    /** Returns the server's refusal with the line that it refers to, and selects that place. */
    explain(error: ApiError): ApiError {
      const told = pathOf(error.plain);
      const place = told && jsonPlace(input.value, told.path);
      if (!told || !place) return error;
      go(place);
      const path = told.path.charAt(0).toLowerCase() + told.path.slice(1);
      const text = `Line ${lineColumn(input.value, place.from).line}, ${path}: ${told.rest}`;
      return new ApiError(error.status, text, error.field, text);
    },
  };
}

/** Returns a button that shows the key with which requests to program servers are signed. */
function signingSecret(): HTMLElement {
  const place = h("div", { class: "row" });
  const problem = h("p", { class: "problem", role: "alert" });
  const draw = ({ secret, previousUntil }: requests.ProgramSecret): void => {
    const revoke = h("button", { id: "program-secret-revoke", class: "plain", type: "button" }, "Revoke the old secret now");
    revoke.addEventListener("click", () => revokeSecret(() => draw({ secret, previousUntil: null })));
    const overlap =
      previousUntil === null
        ? []
        : [
            h("p", { class: "hint" }, `Requests are signed with the old secret as well until ${dateTime(previousUntil, Date.now())}.`),
            revoke,
          ];
    place.replaceChildren(
      copyLine("program-secret", "Signing secret", secret),
      h("p", { class: "hint" }, "Your server uses it to check that a request comes from Tandem. It is the same for all numbers."),
      ...overlap,
      h(
        "div",
        {},
        h("button", { id: "program-secret-replace", class: "plain", type: "button", onclick: () => replaceSecret(draw) }, "Replace secret"),
      ),
    );
  };
  const show = h("button", { id: "program-secret-show", class: "plain", type: "button" }, "Show the signing secret");
  show.addEventListener("click", () => {
    show.disabled = true;
    setText(problem, "");
    requests.programSecret().then(
      (secret) => draw(secret),
      (error: unknown) => {
        show.disabled = false;
        setText(problem, loadProblem(error));
      },
    );
  });
  place.append(h("div", {}, show), problem);
  return place;
}

function revokeSecret(done: () => void): void {
  confirm({
    id: "program-secret-revoke-confirm",
    title: "Revoke the old secret?",
    text: "Program servers that only know the old secret refuse requests from now on.",
    action: "Revoke",
    run: async () => {
      await requests.programSecretRevokePrevious();
      done();
    },
  });
}

function replaceSecret(draw: (secret: requests.ProgramSecret) => void): void {
  confirm({
    id: "program-secret-confirm",
    title: "Replace the signing secret?",
    text: "Requests are signed with the new secret at once, and for 24 hours with the old one as well. Give your program servers the new secret in that time.",
    action: "Replace",
    run: async () => draw(await requests.programSecretReplace()),
  });
}
