/** What to tell about the microphone: one sentence that says what to do. */

export type MicrophoneState = "unknown" | "prompt" | "granted" | "denied" | "absent" | "busy" | "insecure";

export function microphoneText(state: MicrophoneState): string {
  switch (state) {
    case "unknown":
    case "granted":
      return "";
    case "prompt":
      return "Your browser will ask for the microphone: allow it. Your voice is sent only while a call is up.";
    case "denied":
      return "The microphone is blocked for this page: open the site settings beside the address, allow the microphone, then reload.";
    case "absent":
      return "No microphone was found: plug one in or connect a headset, then choose it below.";
    case "busy":
      return "Another program holds the microphone: close it there, then try again.";
    case "insecure":
      return "Browsers give no microphone to a page opened over plain http: open this page over https, or on localhost.";
  }
}

/** The same to somebody whose telephone rings: a reload would lose the call. */
export function answerText(state: MicrophoneState): string {
  if (state !== "denied") return `You cannot answer yet. ${microphoneText(state)}`;
  return "You cannot answer yet. Allow the microphone in the site settings beside the address, then press Answer again.";
}

/** The same in two words, where a telephone would say that it is ready; "" when it is. */
export function microphoneWords(state: MicrophoneState): string {
  switch (state) {
    case "unknown":
    case "granted":
    case "prompt":
      return "";
    case "denied":
      return "Microphone blocked";
    case "absent":
      return "No microphone";
    case "busy":
      return "Microphone in use";
    case "insecure":
      return "No microphone here";
  }
}

/** The state that an error of `getUserMedia` means. */
export function microphoneError(name: string): MicrophoneState {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "absent";
    default:
      return "busy";
  }
}
