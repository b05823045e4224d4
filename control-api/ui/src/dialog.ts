/** Dialogs for questions and small forms. The browser's own dialog element traps the focus and restores it. */
import { h, ICON, icon, setText } from "./dom.js";

export class Dialog {
  readonly element: HTMLDialogElement;
  private readonly body = h("div", { class: "dialog-body stack" });

  constructor(title: string, id: string) {
    const close = h(
      "button",
      { class: "quiet square", type: "button", "aria-label": "Close", onclick: () => this.close() },
      icon(ICON.close),
    );
    this.element = h(
      "dialog",
      { id, class: "dialog", "aria-labelledby": `${id}-title` },
      h("div", { class: "dialog-head" }, h("h2", { id: `${id}-title` }, title), close),
      this.body,
    );
    this.element.addEventListener("close", () => this.element.remove());
  }

  open(...content: readonly (Node | string)[]): this {
    this.show(...content);
    document.body.append(this.element);
    this.element.showModal();
    this.body.querySelector<HTMLElement>("input, select, textarea, button")?.focus();
    return this;
  }

  /** Replaces the content. */
  show(...content: readonly (Node | string)[]): void {
    this.body.replaceChildren(...content);
  }

  close(): void {
    this.element.close();
  }
}

/** Asks for confirmation of an action that cannot be undone, and runs it. The dialog stays open with the reason if `run` rejects. */
export function confirm(options: { id: string; title: string; text: string; action: string; run(): Promise<void> }): void {
  const dialog = new Dialog(options.title, options.id);
  const problem = h("p", { class: "problem", role: "alert" });
  const action = h("button", { class: "bad", type: "button", "data-role": "confirm" }, options.action);
  const keep = h("button", { class: "quiet", type: "button", onclick: () => dialog.close() }, "Cancel");
  action.addEventListener("click", () => {
    action.disabled = true;
    setText(problem, "");
    options.run().then(
      () => dialog.close(),
      (error: unknown) => {
        action.disabled = false;
        setText(problem, error instanceof Error ? error.message : "This could not be done.");
      },
    );
  });
  dialog.open(h("p", {}, options.text), problem, h("div", { class: "actions" }, action, keep));
  keep.focus();
}

/** Asks for confirmation of an action that cannot be undone; resolves to whether the user has confirmed. */
export function askToConfirm(options: { id: string; title: string; text: string; action: string }): Promise<boolean> {
  return new Promise((answer) => {
    const dialog = new Dialog(options.title, options.id);
    let wanted = false;
    const action = h("button", { class: "bad", type: "button", "data-role": "confirm" }, options.action);
    const keep = h("button", { class: "quiet", type: "button", onclick: () => dialog.close() }, "Cancel");
    action.addEventListener("click", () => {
      wanted = true;
      dialog.close();
    });
    dialog.element.addEventListener("close", () => answer(wanted));
    dialog.open(h("p", {}, options.text), h("div", { class: "actions" }, action, keep));
    keep.focus();
  });
}
