/** Settings for calls' audio, and the organization's capabilities. */
import type { VoiceConfig } from "../calls.js";
import { h, setText } from "../dom.js";
import { Form, field, select, toggle } from "../form.js";
import { ApiError } from "../http.js";
import { HEARS, parseHears } from "../listening.js";
import { LANGUAGES, languageName } from "../words.js";
import { type Context, loaded, lockNote, panel, type Section } from "./context.js";
import { glossaryPanel } from "./glossary.js";
import { handlingPanel } from "./handling.js";
import { machinesPanel } from "./machines.js";
import * as requests from "./requests.js";
import { CAPABILITIES as SWITCHES } from "./shapes.js";

export const VOICE: Section = { name: "voice", label: "Voice", takes: ["voice.read"], build: voice };
export const CAPABILITIES: Section = { name: "capabilities", label: "Capabilities", takes: ["voice.read"], build: capabilities };

function voice(context: Context): HTMLElement {
  return h(
    "div",
    { class: "stack wide-gap" },
    panel(
      "Voice",
      "Settings for new calls. Running calls keep the settings they started with.",
      [],
      loaded(requests.voiceShow, (config) => [voiceForm(context, config)]),
    ),
    glossaryPanel(context),
    machinesPanel(context),
    handlingPanel(context),
  );
}

function voiceForm(context: Context, config: VoiceConfig): HTMLElement {
  const locked = lockNote(context, "voice.write", "the voice settings");
  const off = locked !== null;
  type Flag = "live_translate" | "transcribe" | "voice_to_voice" | "record" | "record_heard";
  const flag = (name: Flag, label: string, about: string) => toggle(name, `voice-${name}`, label, about, config[name], off);
  const [translate, transcribe] = [
    flag(
      "live_translate",
      "Live translation",
      "Both sides are transcribed and translated, and the text is shown while they talk. If off, nothing is translated.",
    ),
    flag(
      "transcribe",
      "Transcription only",
      "Words are transcribed but not translated. If this and live translation are off, nothing is sent to any speech provider.",
    ),
  ];
  const spoken = flag("voice_to_voice", "Voice to voice", "Translations are spoken to the other side.");
  const hears = (name: "customer_hears" | "agent_hears", label: string, hint: string) => {
    const input = select(`voice-${name}`, HEARS, config[name]);
    return { ...field(name, label, input, hint), input };
  };
  const [customer, agent] = [
    hears("customer_hears", "Customers hear", "Can be changed while a call runs."),
    hears("agent_hears", "Agents hear", "Agents can change it on their page."),
  ];
  const budgetInput = h("input", {
    id: "voice-budget_ms",
    type: "number",
    min: 1,
    max: 10,
    step: "any",
    required: true,
    value: String(config.budget_ms / 1000),
  });
  const about = "Seconds, 1 to 10. A clause whose voice would be later is shown as text.";
  const budget = { ...field("budget_ms", "Latest voice", budgetInput, about), input: budgetInput };
  const record = flag("record", "Recording", "Every call is recorded once it is answered, with a separate channel for each party.");
  const heard = flag(
    "record_heard",
    "What each party hears",
    "Recordings also hold what each party heard, with translations and what was whispered to it, on channels of its own.",
  );
  const [from, to] = [
    language("translate_from", "Customers speak", config.translate_from, off),
    language("translate_to", "Agents speak", config.translate_to, off),
  ];
  const depend = (): void => {
    spoken.input.disabled = off || !translate.input.checked;
    transcribe.input.disabled = off || translate.input.checked;
    for (const { input } of [customer, agent, budget]) input.disabled = spoken.input.disabled || !spoken.input.checked;
  };
  for (const { input } of [translate, spoken]) input.addEventListener("change", depend);
  depend();
  const languages = h("datalist", { id: "languages" }, ...LANGUAGES.map((tag) => h("option", { value: tag }, languageName(tag))));
  const fields = [translate, from, to, spoken, customer, agent, budget, transcribe, record, heard];
  const pair = h("div", { class: "pair-row" }, from.element, to.element);
  const choice = h("div", { class: "pair-row" }, customer.element, agent.element);
  const shown = [
    translate.element,
    pair,
    spoken.element,
    choice,
    budget.element,
    transcribe.element,
    record.element,
    heard.element,
    languages,
  ];
  if (locked) return h("div", { class: "form" }, ...shown, locked);
  let saved = config;
  return new Form({
    id: "voice",
    submit: "Save",
    fields,
    layout: shown,
    async save() {
      const wanted: VoiceConfig = {
        live_translate: translate.input.checked,
        transcribe: transcribe.input.checked,
        translate_from: from.input.value.trim(),
        translate_to: to.input.value.trim(),
        voice_to_voice: spoken.input.checked,
        customer_hears: parseHears(customer.input.value),
        agent_hears: parseHears(agent.input.value),
        budget_ms: Math.round(Number(budget.input.value) * 1000),
        record: record.input.checked,
        record_heard: heard.input.checked,
      };
      try {
        saved = await requests.voicePut(changedFields(saved, wanted));
      } catch (error) {
        throw atSwitch(error, wanted);
      }
      return "Saved. New calls use these settings.";
    },
  }).element;
}

/** Returns only the changed fields, so that the server does not refuse an unchanged one whose capability was switched off meanwhile. */
function changedFields(config: VoiceConfig, wanted: VoiceConfig): Partial<VoiceConfig> {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => config[name as keyof VoiceConfig] !== value));
}

/** Moves a refusal because of a capability to the switch that needs it: live translation needs two capabilities. */
function atSwitch(error: unknown, wanted: VoiceConfig): unknown {
  if (!(error instanceof ApiError) || !wanted.live_translate || !["translate", "transcribe"].includes(error.field ?? "")) return error;
  return new ApiError(error.status, error.message, "live_translate", error.plain);
}

function language(name: string, label: string, value: string, disabled: boolean) {
  const input = h("input", {
    id: `voice-${name}`,
    value,
    disabled,
    required: true,
    maxlength: 35,
    autocomplete: "off",
    spellcheck: "false",
    list: "languages",
  });
  const made = field(name, label, input, `${languageName(value)}`);
  input.addEventListener("input", () => setText(made.element.querySelector(".hint") ?? made.element, languageHint(input.value.trim())));
  return { ...made, input };
}

function languageHint(tag: string): string {
  const name = languageName(tag);
  return name === tag ? "A language tag such as en, es-419 or pt-BR" : name;
}

function capabilities(context: Context): HTMLElement {
  return panel(
    "Capabilities",
    "What this organization may do. Anything switched off is refused for everybody, on these pages and through the API.",
    [],
    loaded(requests.capabilityShow, (told) => [capabilityForm(context, told)]),
  );
}

function capabilityForm(context: Context, told: ReadonlyMap<string, boolean>): HTMLElement {
  const locked = lockNote(context, "voice.write", "the capabilities");
  const switches = SWITCHES.filter(({ name }) => told.has(name)).map(({ name, label, about }) =>
    toggle(name, `capability-${name}`, label, about, told.get(name) === true, locked !== null),
  );
  if (locked) return h("div", { class: "form" }, ...switches.map(({ element }) => element), locked);
  return new Form({
    id: "capabilities",
    submit: "Save",
    fields: switches,
    async save() {
      await requests.capabilityPut(Object.fromEntries(switches.map(({ name, input }) => [name, input.checked])));
      return "Saved";
    },
  }).element;
}
