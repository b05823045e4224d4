/** Settings of the detection of answering machines: its mode and time limit, and what follows each verdict. */
import { ANSWERS } from "../amd/words.js";
import { h, setText } from "../dom.js";
import { type Field, Form, field, type Input, select } from "../form.js";
import { ApiError } from "../http.js";
import { duration } from "../words.js";
import {
  type ActionKind,
  type AmdSettings,
  amdPatch,
  BEEP_S,
  type Draft,
  draftOf,
  kindOptions,
  LIMIT_S,
  MODES,
  RING_S,
  SETTABLE,
  type SpeechDraft,
  TEXT_MAX,
  withTarget,
} from "./amd.js";
import { type Context, loaded, lockNote, panel } from "./context.js";
import * as requests from "./requests.js";
import { type MediaSound, musicOptions, programText } from "./shapes.js";

/** Someone who can be called, and the text that names them in a list of targets. */
type Callable = readonly [target: string, label: string];

/** What the form needs besides the settings. */
interface Supplies {
  sounds: readonly MediaSound[];
  callable: readonly Callable[];
  /** Language of new texts. */
  language: string;
  /** Whether the organization may detect answering machines. */
  allowed: boolean;
}

/** Returns the panel. */
export function machinesPanel(context: Context): HTMLElement {
  return panel(
    "Answering machines",
    "Whether a person, a voicemail or a tone answers the customers that are called, and what follows. Running calls keep their settings.",
    [],
    loaded(load, ([settings, supplies]) => [
      settings ? machinesForm(context, settings, supplies) : h("p", { class: "empty" }, "This server does not detect answering machines."),
    ]),
  );
}

async function load(): Promise<[AmdSettings | undefined, Supplies]> {
  const [settings, voice, sounds, capabilities, members, targets] = await Promise.all([
    requests.amdShow(),
    requests.voiceShow(),
    requests.soundAll(),
    requests.capabilityShow(),
    // Users who may not see these lists type the names.
    requests.memberList(null).catch(() => undefined),
    requests.targetList(null).catch(() => undefined),
  ]);
  const callable: Callable[] = [
    ...(members?.items ?? []).filter(({ sipName }) => sipName !== "").map(({ sipName, name }) => [sipName, `Agent ${name}`] as const),
    ...(targets?.items ?? []).map(({ address, name }) => [address, name] as const),
  ];
  return [settings, { sounds, callable, language: voice.translate_from, allowed: capabilities.get("amd") !== false }];
}

function machinesForm(context: Context, settings: AmdSettings, supplies: Supplies): HTMLElement {
  const locked = lockNote(context, "voice.write", "what follows an answering machine");
  let saved = settings;
  const modeInput = select("amd-mode", MODES, settings.mode);
  const mode = field("mode", "Detection", modeInput, "Calls to customers are screened when they are answered, never calls to agents.");
  const limitInput = h("input", {
    id: "amd-limit_s",
    type: "number",
    required: true,
    min: LIMIT_S.min,
    max: LIMIT_S.max,
    inputmode: "numeric",
    value: settings.limitS,
  });
  const limit = field("limit_s", "Time limit (s)", limitInput, `From ${LIMIT_S.min} to ${LIMIT_S.max}. The call is decided by then.`);
  const answers = new Map(SETTABLE.map((verdict) => [verdict, new AnswerFields(verdict, settings, supplies)]));
  const actions = h(
    "fieldset",
    { class: "amd-answers", "aria-label": "What follows each answer" },
    ...[...answers.values()].map(({ element }) => element),
    h(
      "div",
      { class: "amd-answer" },
      h(
        "div",
        { class: "amd-answer-words" },
        h("strong", {}, ANSWERS["unknown"]?.name ?? ""),
        h("p", { class: "hint" }, ANSWERS["unknown"]?.about ?? ""),
      ),
      h("p", { class: "amd-answer-fixed" }, "Always connected, so that no person is hung up on."),
    ),
  );
  const off = h(
    "p",
    { class: "note warn" },
    "The capability to detect answering machines is switched off, so no call is screened. ",
    h("a", { href: "#capabilities" }, "Capabilities"),
  );
  off.hidden = supplies.allowed;
  const show = (): void => {
    // Disabled fields are not checked, because they could not be seen.
    limit.element.hidden = actions.hidden = actions.disabled = limitInput.disabled = modeInput.value === "off";
  };
  modeInput.addEventListener("change", show);
  show();
  const layout = [off, h("div", { class: "amd-basics" }, mode.element, limit.element), actions];
  if (locked) return h("div", { class: "form wide-form" }, h("fieldset", { class: "amd-locked", disabled: true }, ...layout), locked);
  return new Form({
    id: "amd",
    submit: "Save",
    fields: [mode, limit, ...[...answers.values()].flatMap(({ fields }) => fields)],
    layout,
    async save() {
      const off = modeInput.value === "off";
      const drafts = new Map([...answers].map(([verdict, answer]) => [verdict, answer.draft()]));
      const edited = off ? { limitS: saved.limitS, drafts: new Map() } : { limitS: Number(limitInput.value), drafts };
      const patch = amdPatch(saved, { mode: modeInput.value, ...edited });
      try {
        saved = (await requests.amdPut(patch)) ?? saved;
      } catch (error) {
        // The switch that is off is named; the mode needs it.
        throw error instanceof ApiError && error.field === "amd" ? new ApiError(error.status, error.message, "mode", error.plain) : error;
      }
      return "Saved. New calls use these settings.";
    },
  }).element;
}

/** The action of one verdict: a choice, and the fields of the chosen action. */
class AnswerFields {
  readonly element: HTMLElement;
  readonly fields: Field[] = [];
  private readonly kind: HTMLSelectElement;
  private readonly parts: ReadonlyMap<ActionKind, HTMLFieldSetElement>;
  private readonly read: (kind: ActionKind) => Draft;

  constructor(
    private readonly verdict: string,
    settings: AmdSettings,
    private readonly supplies: Supplies,
  ) {
    const draft = draftOf(settings, verdict, supplies.language);
    const { name, about } = ANSWERS[verdict] ?? { name: verdict, about: "" };
    const options = kindOptions(verdict);
    this.kind = select(
      `amd-${verdict}`,
      draft.kind === "api" ? [...options, ["api", "Set through the API"] as const] : options,
      draft.kind,
    );
    const problem = h("p", { id: `amd-${verdict}-problem`, class: "problem", role: "alert" });
    this.kind.setAttribute("aria-describedby", `amd-${verdict}-hint ${problem.id}`);
    const reply = this.speech("reply", "reply", "Reply", "Such as: This is Acme, calling about your order.", draft.reply);
    const transfer = this.targets("transfer", "transfer", "Transfer to", draft.targets, draft.ringS, true);
    const message = this.message(draft);
    this.read = (kind) => ({ ...draft, kind, reply: reply.value(), ...message.value(), ...transfer.value() });
    const part = (...content: readonly Node[]): HTMLFieldSetElement => h("fieldset", { class: "amd-answer-fields" }, ...content);
    this.parts = new Map<ActionKind, HTMLFieldSetElement>([
      ["reply", part(reply.element)],
      ["message", part(message.element)],
      ["transfer", part(transfer.element)],
      ["api", part(actionSource(settings, verdict))],
    ]);
    this.kind.addEventListener("change", () => this.show());
    this.show();
    this.fields.push({ name: verdict, input: this.kind, problem, element: this.kind });
    this.element = h(
      "div",
      { class: "amd-answer", "data-answer": verdict },
      h(
        "div",
        { class: "amd-answer-words" },
        h("label", { for: this.kind.id }, name),
        h("p", { id: `amd-${verdict}-hint`, class: "hint" }, about),
      ),
      this.kind,
      problem,
      ...this.parts.values(),
    );
  }

  draft(): Draft {
    return this.read(this.kind.value as ActionKind);
  }

  private show(): void {
    for (const [kind, part] of this.parts) part.hidden = part.disabled = kind !== this.kind.value;
  }

  /** Returns a field whose refusals have the given path below the verdict's action. */
  private field<T extends Input>(path: string, label: string, input: T, hint = ""): Field & { input: T } {
    const made = { ...field(`amd.actions.${this.verdict}.${path}`, label, input, hint), input };
    this.fields.push(made);
    return made;
  }

  private id(name: string): string {
    return `amd-${this.verdict}-${name}`;
  }

  private speech(path: string, name: string, label: string, hint: string, draft: SpeechDraft, required = true) {
    const words = h("textarea", { id: this.id(`${name}-text`), rows: 2, maxlength: TEXT_MAX, required });
    words.value = draft.text;
    const language = h("input", {
      id: this.id(`${name}-language`),
      required,
      maxlength: 35,
      autocomplete: "off",
      spellcheck: "false",
      list: "languages",
      value: draft.language,
    });
    return {
      element: h(
        "div",
        { class: "amd-speech" },
        this.field(`${path}.text`, label, words, hint).element,
        this.field(`${path}.language`, "Language", language).element,
      ),
      value: (): SpeechDraft => ({ text: words.value, language: language.value }),
    };
  }

  private targets(path: string, name: string, label: string, targets: string, ringS: string, required: boolean) {
    const input = h("input", {
      id: this.id(`${name}-targets`),
      required,
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "ana, +44 20 7946 0123",
      value: targets,
    });
    const ring = h("input", {
      id: this.id(`${name}-ring_s`),
      type: "number",
      inputmode: "numeric",
      min: RING_S.min,
      max: RING_S.max,
      placeholder: "Default",
      value: ringS,
    });
    const made = this.field(
      `${path}.targets`,
      label,
      input,
      "SIP names of agents, numbers or SIP addresses, separated by commas. They are called one after the other.",
    );
    if (this.supplies.callable.length > 0) {
      const add = select(this.id(`${name}-add`), [["", "Add …"], ...this.supplies.callable]);
      add.setAttribute("aria-label", "Add an agent or target");
      add.addEventListener("change", () => {
        if (add.value !== "") input.value = withTarget(input.value, add.value);
        add.value = "";
        input.dispatchEvent(new Event("input", { bubbles: true }));
      });
      const line = h("div", { class: "field amd-targets" }, add);
      input.before(line);
      line.prepend(input);
    }
    return {
      element: h("div", { class: "amd-transfer" }, made.element, this.field(`${path}.ring_s`, "Ring for (s)", ring).element),
      value: (): Pick<Draft, "targets" | "ringS"> => ({ targets: input.value, ringS: ring.value }),
    };
  }

  private message(draft: Draft) {
    const { sounds } = this.supplies;
    const media = select(
      this.id("media"),
      [["", "A text that is spoken"], ...musicOptions(sounds, draft.media === "" ? null : draft.media, duration)],
      draft.media,
    );
    const source = this.field(
      "message.media",
      "Message",
      media,
      sounds.length === 0 ? "Add a WAV file under Sounds to play a recording." : "",
    );
    const text = this.speech("message.message", "message", "Text of the message", "", draft.message);
    const beep = h("input", {
      id: this.id("beep_s"),
      type: "number",
      inputmode: "numeric",
      min: BEEP_S.min,
      max: BEEP_S.max,
      placeholder: String(BEEP_S.usual),
      value: draft.beepS,
    });
    const wait = this.field("message.beep_s", "Wait for the beep (s)", beep, "Then it begins without one.");
    const person = this.targets("message.person", "person", "Call for that person", draft.person, draft.personRingS, false);
    const sentence = this.speech(
      "message.sentence",
      "sentence",
      "Sentence for that person",
      "Spoken if nobody is called, or nobody answers.",
      draft.sentence,
      false,
    );
    const used = draft.person !== "" || draft.sentence.text !== "";
    const spoken = h("fieldset", {}, text.element);
    const show = (): void => {
      spoken.hidden = spoken.disabled = media.value !== "";
    };
    media.addEventListener("change", show);
    show();
    return {
      element: h(
        "div",
        { class: "amd-message" },
        h("div", { class: "amd-source" }, source.element, wait.element),
        spoken,
        h(
          "details",
          { class: "fold", open: used },
          h("summary", {}, "If a person speaks meanwhile"),
          h("div", { class: "amd-message" }, person.element, sentence.element),
        ),
      ),
      value: (): Partial<Draft> => {
        const { targets, ringS } = person.value();
        return {
          media: media.value,
          message: text.value(),
          beepS: beep.value,
          person: targets,
          personRingS: ringS,
          sentence: sentence.value(),
        };
      },
    };
  }
}

/** Returns the JSON of an action that the form cannot edit. */
function actionSource(settings: AmdSettings, verdict: string): HTMLElement {
  const action = settings.actions.get(verdict) ?? {};
  const [name, value] = Object.entries(action)[0] ?? ["", {}];
  const source = h("pre", { class: "code-input", tabindex: 0, "aria-label": `Action for ${verdict} as JSON` });
  setText(source, name === "program" ? programText(value) : JSON.stringify(action, null, 2));
  return h(
    "div",
    { class: "row" },
    h(
      "p",
      { class: "hint" },
      name === "program"
        ? "These steps of a call program take the call. They were set through the API; choose another action to replace them."
        : "This action was set through the API. Choose another one to replace it.",
    ),
    source,
  );
}
