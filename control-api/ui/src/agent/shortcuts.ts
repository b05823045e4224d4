/**
 * Keyboard shortcuts. Single letters act during a call while the user is not typing, and P also between calls. Answering needs the
 * Control key, so that a letter meant for something else never opens the microphone.
 */
export type Command =
  | "answer"
  | "hangup"
  | "mute"
  | "hold"
  | "keypad"
  | "transfer"
  | "add"
  | "swap"
  | "merge"
  | "complete"
  | "park"
  | "parked"
  | "record"
  | "help";

/** The shortcuts in the order of the help. */
export const SHORTCUTS: readonly { command: Command; keys: string; label: string }[] = [
  { command: "answer", keys: "Ctrl + Enter", label: "Answer" },
  { command: "hangup", keys: "Ctrl + Delete", label: "Hang up or decline" },
  { command: "mute", keys: "M", label: "Mute" },
  { command: "hold", keys: "H", label: "Hold" },
  { command: "transfer", keys: "T", label: "Transfer" },
  { command: "add", keys: "A", label: "Add someone" },
  { command: "swap", keys: "S", label: "Swap who is on hold" },
  { command: "merge", keys: "J", label: "Join all" },
  { command: "complete", keys: "L", label: "Leave; the others keep talking" },
  { command: "park", keys: "P", label: "Park the call, or go to the parked calls" },
  { command: "record", keys: "R", label: "Record, pause or resume" },
  { command: "keypad", keys: "K", label: "Keypad" },
  { command: "help", keys: "?", label: "Show these shortcuts" },
];

const LETTERS: Record<string, Command> = {
  m: "mute",
  h: "hold",
  t: "transfer",
  a: "add",
  s: "swap",
  j: "merge",
  l: "complete",
  p: "park",
  r: "record",
  k: "keypad",
  "?": "help",
};

/** The part of a `KeyboardEvent` that is read. */
export interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  /** Whether the key is being held down. */
  repeat: boolean;
}

/** Returns the command of a key press. `typing`: the focus is in a text field; `letters`: single-letter shortcuts are switched on. */
export function commandOf(
  pressed: Pressed,
  phase: string,
  { typing, letters }: { typing: boolean; letters: boolean },
): Command | undefined {
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

/** Returns the keys of a command, for `aria-keyshortcuts` and tooltips. */
export function keysOf(command: Command): string {
  return SHORTCUTS.find((one) => one.command === command)?.keys ?? "";
}
