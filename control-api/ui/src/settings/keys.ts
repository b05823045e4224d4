/** API keys: created, shown once, revoked. */
import { confirm } from "../dialog.js";
import { h, ICON, icon } from "../dom.js";
import { boxes, copyLine, Form, field, select } from "../form.js";
import { ApiError } from "../http.js";
import { Records } from "../records.js";
import { may } from "../session.js";
import { dateTime, relative } from "../words.js";
import { type Context, formDialog, iconButton, lockNote, panel, type Section, tools } from "./context.js";
import * as requests from "./requests.js";
import { type ApiKey, keyState, type Permission, type RolePermissions, scopesProblem } from "./shapes.js";

export const KEYS: Section = { name: "keys", label: "API keys", takes: ["api_keys.read"], build };

const EXPIRY = [
  ["30", "In 30 days"],
  ["90", "In 90 days"],
  ["365", "In a year"],
  ["", "Never"],
] as const;

function build(context: Context): HTMLElement {
  const writes = may(context.session, "api_keys.write");
  const list = table(writes);
  void list.refresh();
  const add = h(
    "button",
    { id: "key-add", class: "primary", type: "button", onclick: () => void addDialog(list, context) },
    icon(ICON.plus),
    "New key",
  );
  return panel(
    "API keys",
    "Programs send a key as Authorization: Bearer KEY. A key is shown once; later only its beginning is shown, to recognise it by.",
    [writes ? add : null],
    lockNote(context, "api_keys.write", "the keys"),
    list.element,
  );
}

function table(writes: boolean): Records<ApiKey> {
  const list: Records<ApiKey> = new Records<ApiKey>({
    id: "keys",
    caption: "API keys",
    empty: "There are no keys yet.",
    key: ({ id }) => id,
    load: requests.keyList,
    columns: [
      {
        label: "Key",
        kind: "main",
        cell: (key) =>
          h("div", { class: "two-lines" }, h("strong", {}, key.name), h("code", { class: "muted" }, key.prefix && `${key.prefix}…`)),
      },
      { label: "Permissions", kind: "long", cell: ({ scopes }) => scopeText(scopes) },
      {
        label: "Last use",
        cell: ({ lastUsedAt }) =>
          lastUsedAt === null
            ? h("span", { class: "muted" }, "Never")
            : h("time", { datetime: lastUsedAt, title: dateTime(lastUsedAt, Date.now()) }, relative(lastUsedAt, Date.now())),
      },
      { label: "State", cell: stateCell },
      {
        label: "Actions",
        kind: "tools",
        cell: (key) =>
          tools(
            writes && keyState(key, Date.now()) === "active"
              ? iconButton(ICON.trash, `Revoke ${key.name}`, "revoke", () => revoke(key))
              : null,
          ),
      },
    ],
  });
  const revoke = (key: ApiKey): void =>
    confirm({
      id: "key-revoke",
      title: `Revoke ${key.name}?`,
      text: "Everything that uses this key is locked out within seconds, including open streams. This cannot be undone.",
      action: "Revoke",
      run: async () => {
        await requests.keyRevoke(key.id);
        void list.refresh();
      },
    });
  return list;
}

function scopeText(scopes: readonly string[]): HTMLElement | string {
  if (scopes.length === 0) return "Everything keys may do";
  const shown = scopes.slice(0, 3).join(", ");
  return scopes.length <= 3 ? shown : h("span", { title: scopes.join(", ") }, `${shown} and ${scopes.length - 3} more`);
}

function stateCell(key: ApiKey): HTMLElement {
  const state = keyState(key, Date.now());
  if (state === "revoked") return h("span", { class: "pill", "data-tone": "idle", title: dateTime(key.revokedAt, Date.now()) }, "Revoked");
  if (state === "expired") return h("span", { class: "pill", "data-tone": "warn" }, "Expired");
  const soon = key.expiresAt !== null && Date.parse(key.expiresAt) - Date.now() < 7 * 86_400_000;
  const until = key.expiresAt === null ? "Active" : `Expires ${relative(key.expiresAt, Date.now())}`;
  return h("span", { class: "pill", "data-tone": soon ? "warn" : "good", title: dateTime(key.expiresAt, Date.now()) }, until);
}

async function addDialog(list: Records<ApiKey>, { session }: Context): Promise<void> {
  const [all, roles] = await Promise.all([requests.permissionList(), requests.roleList()]).catch((): [Permission[], RolePermissions[]] => [
    [],
    [],
  ]);
  // A key has at most the permissions of its creator and of an admin.
  const admin = roles.find(({ role }) => role === "admin")?.permissions;
  const permissions = all.filter(({ permission }) => session.permissions.has(permission) && (admin?.includes(permission) ?? true));
  formDialog("New API key", "key-dialog", list, (dialog) => {
    const name = h("input", { id: "key-name", required: true, maxlength: 100, autocomplete: "off", placeholder: "What it is for" });
    const expiry = select("key-expiry", EXPIRY, "90");
    const scopes = boxes(
      "scopes",
      "key-scopes",
      "Permissions",
      "Choose at least one, and no more than the key needs.",
      permissions.map(({ permission, description }) => ({ value: permission, label: permission, about: description })),
    );
    const all = h("button", { class: "quiet", type: "button", "data-role": "all" }, "Select all");
    all.addEventListener("click", () => scopes.choose(permissions.map(({ permission }) => permission)));
    if (permissions.length > 0) scopes.element.querySelector(".hint")?.after(all);
    const fields = [field("name", "Name", name), field("expires_in_days", "Expires", expiry), scopes];
    return new Form({
      id: "key-form",
      submit: "Create key",
      cancel: () => dialog.close(),
      fields,
      async save() {
        const chosen = scopes.chosen();
        const problem = scopesProblem(permissions.length, chosen.length);
        if (problem !== undefined) throw new ApiError(422, problem, "scopes");
        const key = await requests.keyCreate({
          name: name.value.trim(),
          scopes: chosen,
          ...(expiry.value ? { expires_in_days: Number(expiry.value) } : {}),
        });
        void list.refresh();
        dialog.show(
          h(
            "p",
            { class: "note warn", role: "status" },
            "Copy the key now. It will not be shown again: if you lose it, create another one.",
          ),
          copyLine("key-secret", name.value, key),
          h(
            "div",
            { class: "actions" },
            h("button", { class: "primary", type: "button", onclick: () => dialog.close() }, "I have copied it"),
          ),
        );
      },
    });
  });
}
