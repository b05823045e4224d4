/** What people have written about a call: its outcome with history, and notes. */
import { confirm } from "../dialog.js";
import { h, ICON, icon } from "../dom.js";
import { Form, field } from "../form.js";
import { ApiError } from "../http.js";
import { loadProblem } from "../records.js";
import { may, roleLabel, type Session } from "../session.js";
import { dateTime } from "../words.js";
import { isOwn, type Note, type Outcome } from "./detail.js";
import * as requests from "./requests.js";

/** Suggested outcomes; any other text may be typed. */
const USUAL = ["Sale", "Appointment", "Call back", "Not interested", "Voicemail", "Wrong number", "Resolved", "Complaint"];

export class OutcomePanel {
  readonly element: HTMLElement;
  private readonly shown = h("p", { id: "outcome-now", class: "outcome-now" });
  private readonly history = h("ol", { id: "outcome-history", class: "history" });
  private readonly fold = h("details", { class: "fold", hidden: true }, h("summary", {}, "History"), this.history);
  private readonly problem = h("p", { class: "problem", role: "alert" });
  private readonly input = h("input", { id: "outcome-outcome", required: true, maxlength: 50, autocomplete: "off", list: "outcomes" });

  constructor(
    private readonly call: string,
    private readonly session: Session,
  ) {
    const note = h("textarea", { id: "outcome-note", rows: 2, maxlength: 4000 });
    const form = new Form({
      id: "outcome",
      submit: "Save outcome",
      fields: [field("outcome", "Outcome", this.input), field("note", "Note (optional)", note)],
      save: async () => {
        this.draw(await requests.outcomePut(call, this.input.value.trim(), note.value.trim()));
        note.value = "";
        return "Saved";
      },
    });
    const offered = h("datalist", { id: "outcomes" }, ...USUAL.map((value) => h("option", { value })));
    const annotates = may(session, "calls.annotate");
    this.element = h(
      "section",
      { class: "card panel", "aria-label": "Outcome" },
      h("h2", {}, "Outcome"),
      this.shown,
      this.problem,
      annotates ? form.element : h("p", { class: "hint" }, locked(session, "set outcomes")),
      offered,
      this.fold,
    );
  }

  async load(): Promise<void> {
    try {
      this.draw(await requests.outcomeShow(this.call));
    } catch (error) {
      this.problem.textContent = `The outcome cannot be shown. ${loadProblem(error)}`;
    }
  }

  private draw({ outcome, history }: Outcome): void {
    this.problem.textContent = "";
    this.shown.replaceChildren(outcome === null ? h("span", { class: "muted" }, "Not set yet") : h("strong", {}, outcome));
    if (outcome !== null && document.activeElement !== this.input) this.input.value = outcome;
    this.fold.hidden = history.length === 0;
    this.history.replaceChildren(
      ...history.map((entry) =>
        h(
          "li",
          {},
          h("strong", {}, entry.outcome),
          h("span", { class: "muted" }, [shownName(entry.setBy, this.session), dateTime(entry.at, Date.now())].filter(Boolean).join(", ")),
          entry.note && h("p", {}, entry.note),
        ),
      ),
    );
  }
}

export class NotesPanel {
  readonly element: HTMLElement;
  private readonly list = h("ol", { id: "notes", class: "history" });
  private readonly empty = h("p", { class: "hint", role: "status" });
  private readonly problem = h("p", { class: "problem", role: "alert" });
  private readonly annotates: boolean;

  constructor(
    private readonly call: string,
    private readonly session: Session,
  ) {
    this.annotates = may(session, "calls.annotate");
    const text = h("textarea", { id: "note-text", required: true, rows: 3, maxlength: 4000 });
    const form = new Form({
      id: "note",
      submit: "Add note",
      look: "plain",
      fields: [field("text", "New note", text)],
      save: async () => {
        await requests.noteCreate(call, text.value.trim());
        text.value = "";
        await this.load();
        return "Added";
      },
    });
    this.element = h(
      "section",
      { class: "card panel", "aria-label": "Notes" },
      h("h2", {}, "Notes"),
      this.problem,
      this.empty,
      this.list,
      this.annotates ? form.element : h("p", { class: "hint" }, locked(session, "write notes")),
    );
  }

  async load(): Promise<void> {
    try {
      const notes = await requests.noteList(this.call);
      this.problem.textContent = "";
      this.empty.textContent = notes.length === 0 ? "There are no notes yet." : "";
      this.list.replaceChildren(...notes.map((note) => this.note(note)));
    } catch (error) {
      this.problem.textContent = `Notes cannot be shown. ${loadProblem(error)}`;
    }
  }

  private note(note: Note): HTMLElement {
    const own = isOwn(note, this.session);
    // Owners and admins may change everybody's notes.
    const changes = own || may(this.session, "team.write");
    const edited = note.updatedAt !== null && note.updatedAt !== note.createdAt;
    const by = [
      shownName(note.author.name, this.session) || (own ? "You" : "Unknown"),
      dateTime(note.createdAt, Date.now()),
      edited ? "edited" : "",
    ]
      .filter(Boolean)
      .join(", ");
    const item = h("li", { "data-note": note.id });
    const button = (path: string, label: string, role: string, run: () => void): HTMLElement =>
      h(
        "button",
        { class: "quiet square", type: "button", title: label, "aria-label": label, "data-role": role, onclick: run },
        icon(path),
      );
    const show = (): void =>
      item.replaceChildren(
        h("p", { class: "note-text" }, note.text),
        h(
          "div",
          { class: "note-foot" },
          h("span", { class: "muted" }, by),
          this.annotates && changes && button(ICON.edit, "Edit this note", "edit", () => item.replaceChildren(this.editor(note, show))),
          this.annotates && changes && button(ICON.trash, "Delete this note", "remove", () => this.remove(note)),
        ),
      );
    show();
    return item;
  }

  private editor(note: Note, close: () => void): HTMLElement {
    const text = h("textarea", { id: `note-${note.id}`, required: true, rows: 3, maxlength: 4000 });
    text.value = note.text;
    setTimeout(() => text.focus());
    return new Form({
      id: `note-form-${note.id}`,
      submit: "Save",
      fields: [field("text", "Note", text)],
      cancel: close,
      save: async () => {
        await requests.noteChange(this.call, note.id, text.value.trim());
        await this.load();
      },
    }).element;
  }

  private remove(note: Note): void {
    confirm({
      id: "note-remove",
      title: "Delete this note?",
      text: note.text.length > 140 ? `${note.text.slice(0, 140)}…` : note.text,
      action: "Delete",
      run: async () => {
        try {
          await requests.noteRemove(this.call, note.id);
        } catch (error) {
          // Somebody else has deleted the note already.
          if (!(error instanceof ApiError) || error.status !== 404) throw error;
        }
        await this.load();
      },
    });
  }
}

/** Returns the user's own name for their email, which the server uses to name people; other names are returned as they are. */
function shownName(name: string, session: Session): string {
  return name === session.email ? session.name : name;
}

function locked(session: Session, what: string): string {
  return `Your role (${roleLabel(session.role).toLowerCase()}) cannot ${what}.`;
}
