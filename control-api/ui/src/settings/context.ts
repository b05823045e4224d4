/** Parts shared by the sections of the settings. */

import { Dialog } from "../dialog.js";
import { h, icon, setText } from "../dom.js";
import type { Form } from "../form.js";
import { ApiError, toLogin } from "../http.js";
import { loadProblem, type Records } from "../records.js";
import { may, roleLabel, type Session } from "../session.js";
import * as requests from "./requests.js";
import { type RolePermissions, rolesText } from "./shapes.js";

/** The user of the settings. */
export interface Context {
  session: Session;
  /** Draws the session's names again where they appear outside the section, after one was changed. */
  renamed(): void;
}

/** One entry of the settings' navigation. */
export interface Section {
  /** Fragment of the address: `/settings#members`. */
  name: string;
  label: string;
  /** Any of these permissions opens the section; an empty list opens it for everybody. */
  takes: readonly string[];
  build(context: Context): HTMLElement;
}

/** Returns a card with title, introduction and buttons. */
export function panel(title: string, lead: string, tools: readonly (Node | null)[], ...content: readonly (Node | null)[]): HTMLElement {
  return h(
    "section",
    { class: "card panel", "aria-label": title },
    h(
      "div",
      { class: "panel-head" },
      h("div", {}, h("h2", {}, title), h("p", { class: "muted lead" }, lead)),
      h("div", { class: "panel-tools" }, ...tools),
    ),
    ...content,
  );
}

let roles: Promise<RolePermissions[]> | undefined;

/** Returns a note that says why `what` cannot be changed, and who can; null for users who have the permission. */
export function lockNote(context: Context, permission: string, what: string): HTMLElement | null {
  if (may(context.session, permission)) return null;
  const role = roleLabel(context.session.role).toLowerCase();
  const note = h("p", { class: "note", "data-role": "locked" }, `Your role (${role}) can see ${what} but cannot make changes.`);
  roles ??= requests.roleList();
  roles.then(
    (all) => {
      const who = rolesText(all, permission);
      if (who !== "") setText(note, `Your role (${role}) can see ${what} but cannot make changes. ${who} can.`);
    },
    () => undefined,
  );
  return note;
}

/** Returns an element that shows the loaded content, and until then that it is loading; if that fails, the reason with a retry button. */
export function loaded<T>(load: () => Promise<T>, draw: (value: T) => readonly Node[]): HTMLElement {
  const place = h("div", { class: "loaded" });
  const run = (): void => {
    place.replaceChildren(h("p", { class: "empty", role: "status" }, "Loading …"));
    load().then(
      (value) => place.replaceChildren(...draw(value)),
      (error: unknown) => {
        if (error instanceof ApiError && error.status === 401) return toLogin();
        place.replaceChildren(
          h(
            "div",
            { class: "load-problem", role: "alert" },
            h("p", {}, loadProblem(error)),
            h("button", { class: "plain", type: "button", onclick: run }, "Try again"),
          ),
        );
      },
    );
  };
  run();
  return place;
}

/** Opens a form in a dialog. `done` closes it and fetches the list again; the form calls it after saving. */
export function formDialog<T>(title: string, id: string, list: Records<T>, form: (dialog: Dialog, done: () => void) => Form): void {
  const dialog = new Dialog(title, id);
  const done = (): void => {
    dialog.close();
    void list.refresh();
  };
  dialog.open(form(dialog, done).element);
}

/** Returns a button with only an icon. */
export function iconButton(path: string, label: string, role: string, run: () => void): HTMLButtonElement {
  return h(
    "button",
    { class: "quiet square", type: "button", title: label, "aria-label": label, "data-role": role, onclick: run },
    icon(path),
  );
}

/** Returns a row of buttons for a record. */
export function tools(...buttons: readonly (Node | null)[]): HTMLElement {
  return h("div", { class: "row-tools" }, ...buttons);
}
