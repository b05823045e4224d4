/** What the sections of the settings have in common. */
import { h, icon, setText } from "../dom.js";
import { Dialog } from "../dialog.js";
import type { Form } from "../form.js";
import { ApiError, toLogin } from "../http.js";
import { loadProblem, type Records } from "../records.js";
import { may, roleLabel, type Session } from "../session.js";
import * as requests from "./requests.js";
import { rolesText, type RolePermissions } from "./shapes.js";

export interface Context {
  session: Session;
  /** Shows the session's names anew where they stand outside the section. */
  renamed(): void;
}

/** One entry of the settings' navigation. */
export interface Section {
  /** Its place in the address: `/settings#members`. */
  name: string;
  label: string;
  /** Any of these lets somebody see it; none: everybody may. */
  takes: readonly string[];
  build(context: Context): HTMLElement;
}

/** A titled card. */
export function panel(title: string, lead: string, tools: readonly (Node | null)[], ...content: readonly (Node | null)[]): HTMLElement {
  return h("section", { class: "card panel", "aria-label": title },
    h("div", { class: "panel-head" }, h("div", {}, h("h2", {}, title), h("p", { class: "muted lead" }, lead)), h("div", { class: "panel-tools" }, ...tools)), ...content);
}

let roles: Promise<RolePermissions[]> | undefined;

/** Says why something cannot be changed, and who can; nothing for those who may. */
export function lockNote(context: Context, permission: string, what: string): HTMLElement | null {
  if (may(context.session, permission)) return null;
  const role = roleLabel(context.session.role).toLowerCase();
  const note = h("p", { class: "note", "data-role": "locked" }, `Your role (${role}) sees ${what} but cannot change this.`);
  roles ??= requests.roleList();
  roles.then((all) => {
    const who = rolesText(all, permission);
    if (who !== "") setText(note, `Your role (${role}) sees ${what} but cannot change this. ${who} can.`);
  }, () => undefined);
  return note;
}

/** Loads something and puts what is made of it into a place, which says meanwhile that it loads and afterwards why it did not. */
export function loaded<T>(load: () => Promise<T>, draw: (value: T) => readonly Node[]): HTMLElement {
  const place = h("div", { class: "loaded" });
  const run = (): void => {
    place.replaceChildren(h("p", { class: "empty", role: "status" }, "Loading …"));
    load().then(
      (value) => place.replaceChildren(...draw(value)),
      (error: unknown) => {
        if (error instanceof ApiError && error.status === 401) return toLogin();
        place.replaceChildren(h("div", { class: "load-problem", role: "alert" }, h("p", {}, loadProblem(error)),
          h("button", { class: "plain", type: "button", onclick: run }, "Try again")));
      },
    );
  };
  run();
  return place;
}

/** Opens a form in a dialog; it closes when the form was saved, and the list is asked for again. */
export function formDialog<T>(title: string, id: string, list: Records<T>, form: (dialog: Dialog, done: () => void) => Form): void {
  const dialog = new Dialog(title, id);
  const done = (): void => {
    dialog.close();
    void list.refresh();
  };
  dialog.open(form(dialog, done).element);
}

/** A button with an icon alone. */
export function iconButton(path: string, label: string, role: string, run: () => void): HTMLButtonElement {
  return h("button", { class: "quiet square", type: "button", title: label, "aria-label": label, "data-role": role, onclick: run }, icon(path));
}

export function tools(...buttons: readonly (Node | null)[]): HTMLElement {
  return h("div", { class: "row-tools" }, ...buttons);
}
