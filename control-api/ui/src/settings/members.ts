/** The members of the organization with their roles, and the invitations. */
import { confirm } from "../dialog.js";
import { h, ICON, icon, setText } from "../dom.js";
import { copyLine, Form, field, select } from "../form.js";
import { Records } from "../records.js";
import { may, ROLES, roleLabel } from "../session.js";
import { dateTime, relative } from "../words.js";
import { type Context, formDialog, iconButton, lockNote, panel, type Section, tools } from "./context.js";
import * as requests from "./requests.js";
import type { Invitation, Member } from "./shapes.js";

export const MEMBERS: Section = { name: "members", label: "Members", takes: ["organization.read"], build };

const ROLE_OPTIONS = ROLES.map(({ role, label }) => [role, label] as const);

function build(context: Context): HTMLElement {
  const writes = may(context.session, "team.write");
  const members = memberTable(context, writes);
  void members.refresh();
  const invitations = invitationTable();
  if (writes) void invitations.refresh();
  const invite = h(
    "button",
    { id: "invite", class: "primary", type: "button", onclick: () => inviteDialog(invitations) },
    icon(ICON.plus),
    "Invite",
  );
  return h(
    "div",
    { class: "stack wide-gap" },
    panel(
      "Members",
      "A member's role decides what they may do.",
      [writes ? invite : null],
      lockNote(context, "team.write", "the members"),
      members.element,
      h(
        "details",
        { class: "fold" },
        h("summary", {}, "What the roles mean"),
        h("dl", { class: "facts" }, ...ROLES.map(({ label, about }) => h("div", {}, h("dt", {}, label), h("dd", {}, about)))),
      ),
    ),
    writes && panel("Invitations", "An invitation is a link that works once.", [], invitations.element),
  );
}

function memberTable({ session }: Context, writes: boolean): Records<Member> {
  const list: Records<Member> = new Records<Member>({
    id: "members",
    caption: "Members",
    empty: "There are no members.",
    key: ({ id }) => id,
    load: requests.memberList,
    columns: [
      { label: "Member", kind: "main", cell: (member) => who(member, member.id === session.userId) },
      { label: "Phone name", cell: ({ sipName }) => sipName || "None" },
      { label: "Last sign-in", cell: ({ lastLoginAt }) => when(lastLoginAt, "Never") },
      { label: "Role", cell: (member) => (writes ? roleChoice(member, member.id === session.userId) : roleLabel(member.role)) },
      {
        label: "Actions",
        kind: "tools",
        cell: (member) => tools(writes ? iconButton(ICON.trash, `Remove ${member.name}`, "remove", () => remove(member)) : null),
      },
    ],
  });
  const remove = (member: Member): void =>
    confirm({
      id: "member-remove",
      title: `Remove ${member.name}?`,
      text: `${member.email} can no longer sign in to this organization, and their phone stops working. Their calls are kept.`,
      action: "Remove",
      run: async () => {
        await requests.memberRemove(member.id);
        void list.refresh();
      },
    });
  return list;
}

function who(member: Member, self: boolean): HTMLElement {
  return h(
    "div",
    { class: "two-lines" },
    h("strong", {}, member.name, self && h("span", { class: "tag" }, "You")),
    h("span", { class: "muted" }, member.email),
  );
}

function when(time: string | null, none: string): HTMLElement {
  return time === null
    ? h("span", { class: "muted" }, none)
    : h("time", { datetime: time, title: dateTime(time, Date.now()) }, relative(time, Date.now()));
}

/** Returns a select that saves the role when it is chosen, and shows the old role with the reason if the server refuses. */
function roleChoice(member: Member, self: boolean): HTMLElement {
  const choice = select(`role-${member.id}`, ROLE_OPTIONS, member.role);
  choice.setAttribute("aria-label", `Role of ${member.name}`);
  const status = h("span", { class: "saved", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  choice.addEventListener("change", () => {
    choice.disabled = true;
    setText(status, "");
    setText(problem, "");
    requests
      .memberRole(member.id, choice.value)
      .then(
        () => {
          // The actions on this page depend on the user's own role.
          if (self) return location.reload();
          member.role = choice.value;
          setText(status, "Saved");
        },
        (error: unknown) => {
          choice.value = member.role;
          setText(problem, error instanceof Error ? error.message : "The role was not changed.");
        },
      )
      .finally(() => {
        choice.disabled = false;
        // Disabling removed the focus; it is restored unless the user has moved it meanwhile.
        if (document.activeElement === document.body) choice.focus();
      });
  });
  return h("div", { class: "choice" }, choice, status, problem);
}

const STATE: Record<Invitation["state"], readonly [tone: string, label: string]> = {
  open: ["warn", "Open"],
  accepted: ["good", "Accepted"],
  expired: ["idle", "Expired"],
  revoked: ["idle", "Revoked"],
};

function invitationTable(): Records<Invitation> {
  const list: Records<Invitation> = new Records<Invitation>({
    id: "invitations",
    caption: "Invitations",
    empty: "There are no invitations.",
    key: ({ id }) => id,
    load: requests.invitationList,
    columns: [
      {
        label: "Invited",
        kind: "main",
        cell: (one) =>
          h(
            "div",
            { class: "two-lines" },
            h("strong", {}, one.email),
            h("span", { class: "muted" }, one.invitedBy && `by ${one.invitedBy}`),
          ),
      },
      { label: "Role", cell: ({ role }) => roleLabel(role) },
      { label: "State", cell: ({ state }) => h("span", { class: "pill", "data-tone": STATE[state][0] }, STATE[state][1]) },
      {
        label: "Valid",
        cell: (one) =>
          one.state === "open" && one.expiresAt ? `expires ${relative(one.expiresAt, Date.now())}` : dateTime(one.createdAt, Date.now()),
      },
      {
        label: "Actions",
        kind: "tools",
        cell: (one) =>
          tools(one.state === "open" ? iconButton(ICON.trash, `Revoke the invitation of ${one.email}`, "revoke", () => revoke(one)) : null),
      },
    ],
  });
  const revoke = (one: Invitation): void =>
    confirm({
      id: "invitation-revoke",
      title: "Revoke this invitation?",
      text: `The link for ${one.email} stops working.`,
      action: "Revoke",
      run: async () => {
        await requests.invitationRevoke(one.id);
        void list.refresh();
      },
    });
  return list;
}

function inviteDialog(invitations: Records<Invitation>): void {
  formDialog("Invite a person", "invite-dialog", invitations, (dialog) => {
    const email = h("input", { id: "invite-email", type: "email", required: true, maxlength: 254, autocomplete: "off" });
    const role = select("invite-role", ROLE_OPTIONS, "agent");
    const about = field("role", "Role", role, roleAbout("agent"));
    role.addEventListener("change", () => setText(about.element.querySelector(".hint") ?? about.element, roleAbout(role.value)));
    return new Form({
      id: "invite-form",
      submit: "Create invitation",
      cancel: () => dialog.close(),
      fields: [field("email", "Email", email), about],
      async save() {
        const { url, mailed } = await requests.invitationCreate(email.value.trim(), role.value);
        void invitations.refresh();
        const told = mailed
          ? `An email with this link is on its way to ${email.value}.`
          : `No email was sent: send this link to ${email.value} yourself. It works once.`;
        dialog.show(
          h("p", { id: "invite-told", role: "status" }, told),
          copyLine("invite-link", "Link", url),
          h("div", { class: "actions" }, h("button", { class: "primary", type: "button", onclick: () => dialog.close() }, "Done")),
        );
      },
    });
  });
}

function roleAbout(role: string): string {
  return ROLES.find((known) => known.role === role)?.about ?? "";
}
