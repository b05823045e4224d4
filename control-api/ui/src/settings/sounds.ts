/** The media store: WAV files that calls play, such as announcements and hold music. */
import { confirm } from "../dialog.js";
import { h, ICON, icon } from "../dom.js";
import { Form, field } from "../form.js";
import { ApiError } from "../http.js";
import { Records } from "../records.js";
import { may } from "../session.js";
import { dateOnly, duration } from "../words.js";
import { type Context, formDialog, iconButton, lockNote, panel, type Section, tools } from "./context.js";
import * as requests from "./requests.js";
import { type MediaSound, sizeText, soundName, soundProblem } from "./shapes.js";

/** The section of the settings. */
export const SOUNDS: Section = { name: "sounds", label: "Sounds", takes: ["voice.read"], build };

function build(context: Context): HTMLElement {
  const writes = may(context.session, "voice.write");
  const preview = new Preview();
  const list: Records<MediaSound> = new Records<MediaSound>({
    id: "sounds",
    caption: "Sounds",
    empty: "There are no sounds yet.",
    key: ({ id }) => id,
    load: requests.soundList,
    columns: [
      { label: "Name", kind: "main", cell: ({ name }) => h("strong", {}, name) },
      { label: "Length", kind: "number", cell: ({ durationMs }) => duration(durationMs) },
      { label: "Size", kind: "number", cell: ({ sizeBytes }) => sizeText(sizeBytes) },
      { label: "Added", cell: ({ createdAt }) => h("time", { datetime: createdAt }, dateOnly(createdAt, Date.now())) },
      {
        label: "Actions",
        kind: "tools",
        cell: (sound) =>
          tools(preview.button(sound), writes ? iconButton(ICON.trash, `Remove ${sound.name}`, "remove", () => remove(list, sound)) : null),
      },
    ],
  });
  void list.refresh();
  const add = h("button", { id: "sound-add", class: "primary", type: "button", onclick: () => create(list) }, icon(ICON.plus), "Add sound");
  return panel(
    "Sounds",
    "WAV files that calls play: announcements of call programs, and music on hold.",
    [writes ? add : null],
    lockNote(context, "voice.write", "the sounds"),
    list.element,
    preview.audio,
  );
}

/** Plays one sound at a time. */
class Preview {
  readonly audio = h("audio", { id: "sound-preview", preload: "none" });
  private playing: HTMLButtonElement | undefined;

  constructor() {
    for (const event of ["ended", "error", "pause"]) this.audio.addEventListener(event, () => this.markStopped());
  }

  button({ id, name }: MediaSound): HTMLButtonElement {
    const button = iconButton(ICON.play, `Play ${name}`, "play", () => this.toggle(button, id));
    button.dataset["name"] = name;
    return button;
  }

  private toggle(button: HTMLButtonElement, id: string): void {
    const again = this.playing === button;
    this.audio.pause();
    this.markStopped();
    if (again) return;
    this.playing = button;
    face(button, true);
    this.audio.src = requests.soundUrl(id);
    this.audio.play().catch(() => this.playing === button && this.markStopped());
  }

  private markStopped(): void {
    if (this.playing) face(this.playing, false);
    this.playing = undefined;
  }
}

function face(button: HTMLButtonElement, playing: boolean): void {
  const label = `${playing ? "Stop" : "Play"} ${button.dataset["name"] ?? ""}`;
  button.replaceChildren(icon(playing ? ICON.stop : ICON.play));
  button.title = label;
  button.setAttribute("aria-label", label);
}

function create(list: Records<MediaSound>): void {
  formDialog("Add sound", "sound-dialog", list, (dialog, done) => {
    const file = h("input", { id: "sound-file", type: "file", required: true, accept: ".wav,audio/wav,audio/x-wav" });
    const name = h("input", { id: "sound-name", required: true, maxlength: 100, autocomplete: "off" });
    file.addEventListener("change", () => {
      const chosen = file.files?.[0];
      if (chosen && name.value.trim() === "") name.value = soundName(chosen.name);
    });
    return new Form({
      id: "sound-form",
      submit: "Add",
      cancel: () => dialog.close(),
      fields: [
        field("body", "WAV file", file, "8 to 32 bits, one or two channels, at most 10 MB and ten minutes."),
        field("name", "Name", name, "Call programs refer to the sound by this name."),
      ],
      async save() {
        const chosen = file.files?.[0];
        const problem = soundProblem(chosen);
        if (!chosen || problem !== undefined) throw new ApiError(0, problem ?? "", "body");
        await requests.soundCreate(name.value.trim(), chosen);
        done();
      },
    });
  });
}

function remove(list: Records<MediaSound>, sound: MediaSound): void {
  confirm({
    id: "sound-remove",
    title: `Remove ${sound.name}?`,
    text: "Call programs that use this sound skip it from now on. Calls that are playing it finish playing it.",
    action: "Remove",
    run: async () => {
      await requests.soundRemove(sound.id);
      void list.refresh();
    },
  });
}
