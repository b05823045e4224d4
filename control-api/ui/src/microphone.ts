/** Texts about the microphone; each is a sentence that says what to do. */

export type MicrophoneState = "unknown" | "prompt" | "granted" | "denied" | "absent" | "busy" | "insecure";

/** Returns what the user must do before the microphone works; "" if it works. */
export function microphoneText(state: MicrophoneState): string {
  switch (state) {
    case "unknown":
    case "granted":
      return "";
    case "prompt":
      return "Your browser will ask for the microphone: allow it. Your voice is sent only during a call.";
    case "denied":
      return "The microphone is blocked for this page: open the site settings next to the address, allow the microphone, then reload.";
    case "absent":
      return "No microphone was found: plug one in or connect a headset, then choose it below.";
    case "busy":
      return "Another program is using the microphone: close it there, then try again.";
    case "insecure":
      return "Browsers do not allow the microphone on pages opened over plain http: open this page over https or on localhost.";
  }
}

/** Returns the same while a call rings; it must not suggest a reload, which would lose the call. */
export function answerText(state: MicrophoneState): string {
  if (state !== "denied") return `You cannot answer yet. ${microphoneText(state)}`;
  return "You cannot answer yet. Allow the microphone in the site settings next to the address, then press Answer again.";
}

/** Returns the same in a few words, to show instead of "Ready for calls"; "" if the microphone works. */
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
      return "Microphone unavailable";
  }
}

/** Returns the state for the name of an error from `getUserMedia`. */
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

/** Releases the microphone or another source of a stream. */
export function stopTracks(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
