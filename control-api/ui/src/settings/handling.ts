/** Settings for what parties hear while they wait and when a supervisor joins. */
import * as api from "../api.js";
import { h } from "../dom.js";
import { Form, field, select, toggle } from "../form.js";
import { duration } from "../words.js";
import { type Context, loaded, lockNote, panel } from "./context.js";
import * as requests from "./requests.js";
import { type MediaSound, musicOptions } from "./shapes.js";

/** Returns the panel. */
export function handlingPanel(context: Context): HTMLElement {
  return panel(
    "Hold and supervision",
    "What callers hear while they wait, and when a supervisor joins.",
    [],
    loaded(
      () => Promise.all([api.callHandling(), requests.soundAll()]),
      ([handling, sounds]) => [handlingForm(context, handling, sounds)],
    ),
  );
}

function handlingForm(context: Context, handling: api.CallHandling, sounds: readonly MediaSound[]): HTMLElement {
  const locked = lockNote(context, "voice.write", "what callers hear");
  const input = select(
    "handling-hold_music",
    [["", "No music: a soft tone"], ...musicOptions(sounds, handling.holdMusic, duration)],
    handling.holdMusic ?? "",
  );
  input.disabled = locked !== null;
  const music = field(
    "hold_music",
    "Music on hold",
    input,
    sounds.length === 0 ? "Add a WAV file under Sounds first." : "Played on hold, while parked, and while a transfer is ringing.",
  );
  const notice = toggle(
    "supervision_notice",
    "handling-supervision_notice",
    "Notice tone for supervision",
    "The parties of a call hear a short tone when a supervisor joins, and every minute during the supervision.",
    handling.supervisionNotice,
    locked !== null,
  );
  if (locked) return h("div", { class: "form" }, music.element, notice.element, locked);
  return new Form({
    id: "handling",
    submit: "Save",
    fields: [music, notice],
    async save() {
      await requests.handlingPut({ hold_music: input.value || null, supervision_notice: notice.input.checked });
      return "Saved";
    },
  }).element;
}
