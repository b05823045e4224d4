/** Who is signed in and what they may do. */
import { fields, text, texts } from "./shapes.js";

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

/** Every action that the pages ask for. */
const ALL = [
  "organization.read", "organization.write", "team.write", "api_keys.read", "api_keys.write", "voice.read", "voice.write", "calls.read_own",
  "calls.read", "calls.dial", "calls.annotate", "calls.export", "calls.trace", "recordings.read_own", "recordings.read", "usage.read",
];
/** For servers that do not tell permissions: what every role may, besides owners and admins. */
const FEW = ["organization.read", "calls.read_own", "calls.read", "calls.dial"];

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

export function may(session: Session, ...any: string[]): boolean {
  return any.some((permission) => session.permissions.has(permission));
}

/** Whether recordings may be heard, of every call or of one's own: which those are, the server says. */
export function mayHear(session: Session): boolean {
  return may(session, "recordings.read") || may(session, "recordings.read_own");
}

export type PageName = "agent" | "live" | "calls" | "settings";

/** The pages with what it takes to see them, in the order of the navigation. */
export const PAGES: readonly { name: PageName; label: string; takes: readonly string[] }[] = [
  { name: "agent", label: "Phone", takes: ["calls.dial"] },
  { name: "live", label: "Live", takes: ["calls.read", "calls.read_own"] },
  { name: "calls", label: "Calls", takes: ["calls.read", "calls.read_own"] },
  { name: "settings", label: "Settings", takes: [] },
];

export function pagesFor(session: Session): typeof PAGES {
  return PAGES.filter(({ takes }) => takes.length === 0 || may(session, ...takes));
}

/** Where somebody begins: the phone for those who have one. */
export function home(session: Session): string {
  return `/${pagesFor(session)[0]?.name ?? "settings"}`;
}

/** A path of these pages out of a link; anything else, such as another server's address, is refused. */
export function pagePath(wanted: string): string | undefined {
  return /^\/(agent|live|settings|calls(\/[\w-]{1,64})?)(\?[\w\-.~%&=+:]*)?(#[\w\-.~%&=+]*)?$/.test(wanted) ? wanted : undefined;
}

export interface Role {
  role: string;
  label: string;
  about: string;
}

/** The roles from most to least, in words. What each may do is said by the server's table. */
export const ROLES: readonly Role[] = [
  { role: "owner", label: "Owner", about: "Everything, the organization itself included" },
  { role: "admin", label: "Admin", about: "People, keys, voice settings and every call" },
  { role: "supervisor", label: "Supervisor", about: "Every call of the organization, live and recorded" },
  { role: "agent", label: "Agent", about: "Takes and makes calls, sees own calls" },
  { role: "compliance", label: "Compliance", about: "Recordings and the audit log; does not dial" },
  { role: "viewer", label: "Viewer", about: "Reads calls; changes nothing" },
];

export function roleLabel(role: string): string {
  return ROLES.find((known) => known.role === role)?.label ?? role;
}
