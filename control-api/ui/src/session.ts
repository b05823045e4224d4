/** The signed-in user and their permissions. */
import table from "../pages.json" with { type: "json" };
import { fields, text, texts } from "./shapes.js";

/** The user, their organization, and what they may do. */
export interface Session {
  userId: string;
  email: string;
  name: string;
  organization: string;
  role: string;
  /** SIP user name. */
  sipName: string;
  permissions: ReadonlySet<string>;
}

/** All permissions that the pages check. */
const ALL = [
  "organization.read",
  "organization.write",
  "team.write",
  "api_keys.read",
  "api_keys.write",
  "voice.read",
  "voice.write",
  "calls.read_own",
  "calls.read",
  "calls.dial",
  "calls.annotate",
  "calls.export",
  "calls.trace",
  "recordings.read_own",
  "recordings.read",
  "usage.read",
];
/** Permissions of roles other than owner and admin, for servers that send none. */
const FEW = ["organization.read", "calls.read_own", "calls.read", "calls.dial"];

/** Parses a session; missing fields are "". */
export function parseSession(value: unknown): Session {
  const [user, organization, told] = [fields(fields(value)["user"]), fields(fields(value)["organization"]), fields(value)["permissions"]];
  const email = text(user["email"]) ?? "";
  const role = text(user["role"]) ?? "";
  const permissions = Array.isArray(told) ? texts(told) : role === "owner" || role === "admin" ? ALL : FEW;
  return {
    userId: text(user["id"]) ?? "",
    email,
    name: text(user["name"]) || email,
    organization: text(organization["name"]) ?? "",
    role,
    sipName: text(user["sip_name"]) ?? "",
    permissions: new Set(permissions),
  };
}

/** Whether the user has any of these permissions. */
export function may(session: Session, ...any: string[]): boolean {
  return any.some((permission) => session.permissions.has(permission));
}

/** Whether the user may hear recordings, of every call or only of their own; the server decides which. */
export function mayHear(session: Session): boolean {
  return may(session, "recordings.read") || may(session, "recordings.read_own");
}

export type PageName = "agent" | "live" | "calls" | "settings";

/** Whom the navigation shows a page: a user with any of these permissions, or everybody if there are none. */
const TAKES: Record<PageName, readonly string[]> = {
  agent: ["calls.dial"],
  live: ["calls.read", "calls.read_own"],
  calls: ["calls.read", "calls.read_own"],
  settings: [],
};

/** The pages of the navigation, in the order of the table. */
export const PAGES: readonly { name: PageName; path: string; label: string; takes: readonly string[] }[] = table.flatMap(
  ({ name, path, title }) => (isPageName(name) ? [{ name, path, label: title, takes: TAKES[name] }] : []),
);

function isPageName(name: string): name is PageName {
  return Object.hasOwn(TAKES, name);
}

/** Returns the pages that the user may open. */
export function pagesFor(session: Session): typeof PAGES {
  return PAGES.filter(({ takes }) => takes.length === 0 || may(session, ...takes));
}

/** Returns the path of the user's start page: the phone for users who have one. */
export function home(session: Session): string {
  return pagesFor(session)[0]?.path ?? "/settings";
}

/** Returns `wanted` if it is a path of these pages; `undefined` for anything else, such as another server's address. */
export function pagePath(wanted: string): string | undefined {
  return /^\/(agent|live|settings|calls(\/[\w-]{1,64})?)(\?[\w\-.~%&=+:]*)?(#[\w\-.~%&=+]*)?$/.test(wanted) ? wanted : undefined;
}

export interface Role {
  role: string;
  label: string;
  about: string;
}

/** The roles with a description, most powerful first. The server's own table decides what each may do. */
export const ROLES: readonly Role[] = [
  { role: "owner", label: "Owner", about: "Everything, including the organization itself" },
  { role: "admin", label: "Admin", about: "People, keys, voice settings and every call" },
  { role: "supervisor", label: "Supervisor", about: "Every call of the organization, live and recorded" },
  { role: "agent", label: "Agent", about: "Takes and makes calls, sees their own calls" },
  { role: "compliance", label: "Compliance", about: "Recordings and the audit log; makes no calls" },
  { role: "viewer", label: "Viewer", about: "Sees calls; changes nothing" },
];

/** Returns the name of a role for people. */
export function roleLabel(role: string): string {
  return ROLES.find((known) => known.role === role)?.label ?? role;
}
