/**
 * Keys for what is done in a call. Letters count while a call is up and nobody types, and P between calls as well; answering takes a key with Control, so that
 * no letter meant for something else opens the microphone.
 */
export type Command = "answer" | "hangup" | "mute" | "hold" | "keypad" | "transfer" | "add" | "swap" | "merge" | "complete" | "park" | "parked" | "record" | "help";

/** Shown to people, in this order. */
export const SHORTCUTS: readonly { command: Command; keys: string; label: string }[] = [
  { command: "answer", keys: "Ctrl + Enter", label: "Answer" },
  { command: "hangup", keys: "Ctrl + Delete", label: "Hang up or decline" },
  { command: "mute", keys: "M", label: "Mute" },
  { command: "hold", keys: "H", label: "Hold" },
  { command: "transfer", keys: "T", label: "Transfer" },
  { command: "add", keys: "A", label: "Add somebody" },
  { command: "swap", keys: "S", label: "Swap who is on hold" },
  { command: "merge", keys: "J", label: "Join all" },
  { command: "complete", keys: "L", label: "Leave; the others keep talking" },
  { command: "park", keys: "P", label: "Park the call, or go to the parked calls" },
  { command: "record", keys: "R", label: "Record, pause or resume" },
  { command: "keypad", keys: "K", label: "Keypad" },
  { command: "help", keys: "?", label: "Show these keys" },
];

const LETTERS: Record<string, Command> = { m: "mute", h: "hold", t: "transfer", a: "add", s: "swap", j: "merge", l: "complete", p: "park", r: "record", k: "keypad", "?": "help" };

export interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  /** Held down. */
  repeat: boolean;
}

/** `typing`: the focus is where text is written; `letters`: single letters are switched on. */
export function commandOf(pressed: Pressed, phase: string, { typing, letters }: { typing: boolean; letters: boolean }): Command | undefined {
  if (pressed.repeat || pressed.altKey) return undefined;
  if (pressed.ctrlKey || pressed.metaKey) {
    if (pressed.key === "Enter") return phase === "incoming" ? "answer" : undefined;
    // In a text field these delete a word.
    return (pressed.key === "Delete" || pressed.key === "Backspace") && !typing && phase !== "idle" ? "hangup" : undefined;
  }
  if (typing || !letters) return undefined;
  if (phase === "idle" && pressed.key.toLowerCase() === "p") return "parked";
  if (phase !== "active") return undefined;
  return LETTERS[pressed.key.toLowerCase()];
}

/** For `aria-keyshortcuts` and the hint beside a button. */
export function keysOf(command: Command): string {
  return SHORTCUTS.find((one) => one.command === command)?.keys ?? "";
}
