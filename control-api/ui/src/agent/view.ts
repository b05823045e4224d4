/** The elements of the agent's page. Ids are stable: tests and scripts use them (see README.md). */
import { h, ICON, icon, setText } from "../dom.js";
import { microphoneText } from "../microphone.js";
import type { CallView } from "./callview.js";
import { keysOf } from "./shortcuts.js";
import type { Sound } from "./sound.js";

const KEYS: [string, string][] = [
  ["1", ""],
  ["2", "ABC"],
  ["3", "DEF"],
  ["4", "GHI"],
  ["5", "JKL"],
  ["6", "MNO"],
  ["7", "PQRS"],
  ["8", "TUV"],
  ["9", "WXYZ"],
  ["*", ""],
  ["0", "+"],
  ["#", ""],
];

export type AgentView = ReturnType<typeof agentView>;

/** Builds the page's elements and returns those that change. `call`: the view of the running call. */
export function agentView(call: CallView) {
  const button = (id: string, look: string, label: string, path?: string): HTMLButtonElement =>
    h("button", { id, class: look, type: "button" }, path ? icon(path) : null, label);
  const meter = (id: string, label: string): HTMLElement =>
    h("div", { id, class: "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 });

  const registration = h("span", { id: "registration-state", class: "pill", role: "status", "data-state": "connecting" }, "Connecting");
  const state = h("p", { id: "call-state", class: "call-state", "data-state": "idle", role: "status" }, "No call");
  const message = h("p", { id: "call-message", class: "call-message", role: "status" });

  const incomingPeer = h("strong", { id: "incoming-peer" });
  const answer = button("answer", "good", "Answer", ICON.phone);
  answer.title = `Answer (${keysOf("answer")})`;
  const decline = button("decline", "bad", "Decline", ICON.hangup);
  decline.title = `Decline (${keysOf("hangup")})`;
  const unheard = h(
    "p",
    { id: "ring-unheard", class: "note warn", hidden: true },
    "Your browser mutes the ringtone until you click this page once.",
  );
  const answerProblem = h("p", { id: "answer-problem", class: "problem", role: "alert" });
  const incoming = h(
    "div",
    { id: "incoming", class: "incoming", role: "alert", "aria-live": "assertive", hidden: true },
    h("p", { class: "muted" }, "Incoming call from"),
    incomingPeer,
    h("div", { class: "pair" }, answer, decline),
    answerProblem,
    unheard,
  );

  const peer = h("strong", { id: "call-peer" });
  const timer = h("span", { id: "call-timer", class: "timer", role: "timer", "aria-live": "off" });
  const levelIn = meter("level-in", "Sound from the other side");
  const levelOut = meter("level-out", "Sound from your microphone");
  const flowDetail = h("p", { id: "flow-detail", class: "hint" });
  const flowProblem = h("p", { id: "flow-problem", class: "problem", role: "alert" });
  const hangup = h("button", { id: "hangup", class: "bad hangup", type: "button" }, icon(ICON.hangup), h("span", {}, "Hang up"));
  hangup.title = `Hang up (${keysOf("hangup")})`;
  const picker = h("div");
  const recordings = h("div");
  const ongoing = h(
    "div",
    { id: "ongoing", class: "ongoing", hidden: true },
    h("div", { class: "who-line" }, peer, timer),
    h(
      "div",
      { class: "levels" },
      h("span", { "aria-hidden": "true" }, "Other side"),
      levelIn,
      h("span", { "aria-hidden": "true" }, "You"),
      levelOut,
    ),
    flowDetail,
    flowProblem,
    call.parties,
    call.transferState,
    recordings,
    call.controls,
    picker,
    call.consult,
    call.problem,
    hangup,
  );

  const dialInput = h("input", { id: "dial-input", type: "tel", autocomplete: "off", placeholder: "+44 20 7946 0123" });
  const dial = h("button", { id: "dial", class: "good", type: "submit", disabled: true }, icon(ICON.phone), "Call");
  const dialForm = h(
    "form",
    { id: "dial-form", class: "dial" },
    h("label", { for: "dial-input" }, "Number or short code"),
    h("div", { class: "field" }, dialInput, dial),
  );

  const pressed = h("output", { id: "pressed", class: "pressed", "aria-live": "off" });
  const keys = h(
    "div",
    { class: "keys" },
    ...KEYS.map(([digit, letters]) =>
      h(
        "button",
        { class: "key", type: "button", "data-digit": digit, "aria-label": digit === "*" ? "star" : digit === "#" ? "hash" : digit },
        digit,
        h("small", { "aria-hidden": "true" }, letters),
      ),
    ),
  );
  const keypad = h("details", { id: "keypad", class: "fold", hidden: true }, h("summary", {}, icon(ICON.keypad), "Keypad"), pressed, keys);

  const microphoneNote = h("p", { id: "mic-text" });
  const allow = button("mic-allow", "primary", "Allow microphone", ICON.microphone);
  const microphoneCard = h("div", { id: "mic-notice", class: "mic-notice", role: "status", hidden: true }, microphoneNote, allow);

  const microphone = h("select", { id: "mic-select" });
  const speaker = h("select", { id: "speaker-select" });
  const speakerLabel = h("label", { for: "speaker-select" }, "Speaker");
  const notify = button("notify", "quiet", "Notify me about incoming calls");
  const devices = h(
    "details",
    { id: "devices", class: "fold" },
    h("summary", {}, icon(ICON.microphone), "Microphone and speaker"),
    h("label", { for: "mic-select" }, "Microphone"),
    microphone,
    speakerLabel,
    speaker,
    notify,
  );
  const parked = h("div");
  const shortcuts = h("div");
  const remote = h("audio", { id: "remote", autoplay: true });

  const providers = h("div");
  const notice = h("p", { id: "translation-notice", class: "note", hidden: true });
  const empty = h("p", { id: "words-empty", class: "empty" });
  const sentences = h("ol", { id: "sentences", class: "sentences chat", "aria-label": "What was said", tabindex: 0 });
  const sayLabel = h("label", { id: "say-label", for: "say-input" });
  const sayInput = h("input", { id: "say-input", type: "text", autocomplete: "off", maxlength: 1000, disabled: true });
  const saySend = h("button", { id: "say-send", class: "primary", type: "submit", disabled: true }, icon(ICON.send), "Say");
  const sayProblem = h("p", { id: "say-problem", class: "problem", role: "alert" });
  const sayForm = h("form", { id: "say-form", class: "say" }, sayLabel, h("div", { class: "field" }, sayInput, saySend), sayProblem);

  const root = h(
    "div",
    { class: "agent" },
    h(
      "section",
      { class: "card phone", "aria-label": "Phone" },
      h("div", { class: "head" }, h("h1", {}, "Phone"), registration),
      microphoneCard,
      state,
      incoming,
      ongoing,
      dialForm,
      keypad,
      message,
      parked,
      devices,
      shortcuts,
      remote,
    ),
    h(
      "section",
      { class: "card words", "aria-label": "Translation" },
      h("div", { class: "head" }, h("h2", {}, "Conversation")),
      providers,
      notice,
      empty,
      sentences,
      sayForm,
    ),
  );

  function drawSound(sound: Sound): void {
    const text = microphoneText(sound.state);
    setText(microphoneNote, text);
    microphoneCard.hidden = text === "";
    microphoneCard.dataset["state"] = sound.state;
    allow.hidden = sound.state === "denied" || sound.state === "insecure";
    setText(labelOf(allow), sound.state === "prompt" ? "Allow microphone" : "Try again");
    fill(microphone, sound.microphones, sound.microphone, "Microphone");
    fill(speaker, sound.speakers, sound.speaker, "Speaker");
    speaker.hidden = speakerLabel.hidden = !("setSinkId" in HTMLMediaElement.prototype) || sound.speakers.length === 0;
  }

  return {
    root,
    registration,
    state,
    message,
    incoming,
    incomingPeer,
    answer,
    decline,
    answerProblem,
    unheard,
    ongoing,
    peer,
    timer,
    levelIn,
    levelOut,
    flowDetail,
    flowProblem,
    picker,
    hangup,
    recordings,
    parked,
    shortcuts,
    dialForm,
    dialInput,
    dial,
    keypad,
    keys,
    pressed,
    allow,
    microphone,
    speaker,
    notify,
    remote,
    providers,
    notice,
    empty,
    sentences,
    sayForm,
    sayLabel,
    sayInput,
    saySend,
    sayProblem,
    drawSound,
  };
}

/** Returns the element with the text of a button that also has an icon. */
function labelOf(button: HTMLButtonElement): HTMLElement {
  let label = button.querySelector("span");
  if (!label) {
    label = h("span", {}, button.textContent);
    button.replaceChildren(...button.querySelectorAll("svg"), label);
  }
  return label;
}

function fill(select: HTMLSelectElement, devices: readonly MediaDeviceInfo[], chosen: string, kind: string): void {
  const options = devices.filter((device) => device.deviceId !== "default" && device.deviceId !== "");
  const wanted = ["", ...options.map((device) => device.deviceId)].join("|") + options.map((device) => device.label).join("|");
  if (select.dataset["options"] !== wanted) {
    select.dataset["options"] = wanted;
    select.replaceChildren(
      h("option", { value: "" }, "System default"),
      ...options.map((device, index) => h("option", { value: device.deviceId }, device.label || `${kind} ${index + 1}`)),
    );
  }
  select.value = options.some((device) => device.deviceId === chosen) ? chosen : "";
}
