/** Ending a call for everybody in it. */
import * as api from "./api.js";
import type { Call } from "./calls.js";
import { confirm } from "./dialog.js";

/** Asks for confirmation and ends the call. */
export function askToEnd(call: Call): void {
  confirm({
    id: "end-call",
    title: "End this call?",
    text: `The call from ${call.from ?? "an unknown number"} to ${call.to} ends at once for everybody in it.`,
    action: "End call",
    run: () => api.hangup(call.id),
  });
}
