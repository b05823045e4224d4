/** Targets: names for numbers and addresses that the organization calls often. */
import { confirm } from "../dialog.js";
import { h, ICON, icon } from "../dom.js";
import { Form, field } from "../form.js";
import { compact } from "../numbers.js";
import { Records } from "../records.js";
import { may } from "../session.js";
import { type Context, formDialog, iconButton, lockNote, panel, type Section, tools } from "./context.js";
import * as requests from "./requests.js";
import type { Target } from "./shapes.js";

export const TARGETS: Section = { name: "targets", label: "Targets", takes: ["voice.read"], build };

function build(context: Context): HTMLElement {
  const writes = may(context.session, "voice.write");
  const list: Records<Target> = new Records<Target>({
    id: "targets",
    caption: "Targets",
    empty: "There are no targets yet.",
    key: ({ id }) => id,
    load: requests.targetList,
    columns: [
      { label: "Name", kind: "main", cell: ({ name }) => h("strong", {}, name) },
      { label: "Number or address", kind: "long", cell: ({ address }) => address },
      {
        label: "Actions",
        kind: "tools",
        cell: (target) =>
          writes
            ? tools(
                iconButton(ICON.edit, `Edit ${target.name}`, "edit", () => edit(list, target)),
                iconButton(ICON.trash, `Remove ${target.name}`, "remove", () => remove(list, target)),
              )
            : "",
      },
    ],
  });
  void list.refresh();
  const add = h("button", { id: "target-add", class: "primary", type: "button", onclick: () => edit(list) }, icon(ICON.plus), "Add target");
  return panel(
    "Targets",
    "Names for numbers and SIP addresses that you call often.",
    [writes ? add : null],
    lockNote(context, "voice.write", "the targets"),
    list.element,
  );
}

function edit(list: Records<Target>, target?: Target): void {
  formDialog(target ? "Edit target" : "Add target", "target-dialog", list, (dialog, done) => {
    const name = h("input", { id: "target-name", required: true, maxlength: 100, autocomplete: "off", value: target?.name });
    const address = h("input", {
      id: "target-address",
      required: true,
      maxlength: 255,
      autocomplete: "off",
      spellcheck: "false",
      value: target?.address,
    });
    return new Form({
      id: "target-form",
      submit: target ? "Save" : "Add",
      cancel: () => dialog.close(),
      fields: [
        field("name", "Name", name),
        field("address", "Number or SIP address", address, "Such as +44 20 7946 0123 or sip:desk@example.com"),
      ],
      async save() {
        const draft = { name: name.value.trim(), address: compact(address.value) };
        await (target ? requests.targetChange(target.id, draft) : requests.targetCreate(draft));
        done();
      },
    });
  });
}

function remove(list: Records<Target>, target: Target): void {
  confirm({
    id: "target-remove",
    title: `Remove ${target.name}?`,
    text: `${target.address} can still be called directly.`,
    action: "Remove",
    run: async () => {
      await requests.targetRemove(target.id);
      void list.refresh();
    },
  });
}
