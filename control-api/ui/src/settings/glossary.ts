/** Terms and names for recognisers and translators, as text with one entry in each line. */

import { h } from "../dom.js";
import { Form, field } from "../form.js";
import { type Glossary, LineProblem, readNames, readTerms, termLines } from "../glossary.js";
import { ApiError } from "../http.js";
import { type Context, loaded, lockNote, panel } from "./context.js";
import * as requests from "./requests.js";

/** Returns the panel. */
export function glossaryPanel(context: Context): HTMLElement {
  return panel(
    "Glossary",
    "Terms that are always translated alike, and names. Recognisers expect them, and translators keep to them.",
    [],
    loaded(requests.glossaryShow, (glossary) => [glossaryForm(context, glossary)]),
  );
}

function glossaryForm(context: Context, glossary: Glossary): HTMLElement {
  const locked = lockNote(context, "voice.write", "the glossary");
  const area = (id: string, value: string, placeholder: string): HTMLTextAreaElement => {
    const input = h("textarea", { id: `glossary-${id}`, rows: 6, spellcheck: "false", placeholder, disabled: locked !== null });
    input.value = value;
    return input;
  };
  const terms = area("terms", termLines(glossary.terms), "en: smart meter = es: contador inteligente");
  const names = area("names", glossary.names.join("\n"), "Grünwald");
  const shown = [
    field("terms", "Terms", terms, "One in each line, with its languages. Each holds in both directions."),
    field("names", "Names", names, "One in each line. They are spelled alike in all languages."),
  ];
  if (locked) return h("div", { class: "form" }, ...shown.map(({ element }) => element), locked);
  return new Form({
    id: "glossary",
    submit: "Save",
    fields: shown,
    async save() {
      try {
        const saved = await requests.glossaryPut({ terms: readTerms(terms.value), names: readNames(names.value) });
        terms.value = termLines(saved.terms);
        names.value = saved.names.join("\n");
      } catch (error) {
        throw atField(error);
      }
      return "Saved. New calls use it.";
    },
  }).element;
}

/** Moves a refusal of an entry, such as `terms[3].source`, to the field, and names the entry. */
function atField(error: unknown): unknown {
  if (error instanceof LineProblem) return new ApiError(422, error.message, "terms", error.message);
  const [, name, at] = /^(terms|names)\[(\d+)\]/.exec((error instanceof ApiError && error.field) || "") ?? [];
  if (!(error instanceof ApiError) || !name) return error;
  const message = `Entry ${Number(at) + 1}: ${error.plain}`;
  return new ApiError(error.status, message, name, message);
}
