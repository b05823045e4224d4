/** The frame of every page after sign-in: header, navigation, user. */
import * as api from "./api.js";
import { confirm } from "./dialog.js";
import { h, ICON, icon, setText } from "./dom.js";
import { home, may, PAGES, type PageName, pagesFor, roleLabel, type Session } from "./session.js";
import type { StreamState } from "./stream.js";

export interface Shell {
  session: Session;
  main: HTMLElement;
  /** Shows the state of the event stream; pages without a stream do not call it. */
  connection(state: StreamState): void;
  /** Draws the user's name again, after it was changed in the session. */
  renamed(): void;
  /**
   * Protects a running call: links open in a new tab, and signing out asks first. `hangUp` ends the call; `undefined` if there is no
   * call.
   */
  keepPage(hangUp: (() => void) | undefined): void;
}

const CONNECTION: Record<StreamState, string> = {
  connecting: "Connecting",
  live: "Connected",
  waiting: "Connection lost, trying again",
  ended: "Disconnected",
};

const PAGE_ICON: Record<PageName, string> = { agent: ICON.phone, live: ICON.live, calls: ICON.list, settings: ICON.settings };

/** Draws the frame and returns it; `undefined` if the page cannot be shown, in which case the reason is shown instead. */
export async function shell(page: PageName): Promise<Shell | undefined> {
  let session: Session;
  try {
    session = await api.session();
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 401) api.toLogin();
    else root().replaceChildren(failure(error));
    return undefined;
  }
  const links = pagesFor(session).map(({ name, path, label }) =>
    h("a", { href: path, "data-page": name, "aria-current": name === page ? "page" : null }, icon(PAGE_ICON[name]), label),
  );
  const status = h("span", { id: "connection", class: "pill", role: "status", "data-state": "connecting", hidden: true }, "Connecting");
  let call: (() => void) | undefined;
  const leave = (): void => {
    if (call) askToSignOut(() => call?.());
    else void signOut();
  };
  const logout = h("button", { id: "logout", class: "quiet", type: "button", onclick: leave }, "Sign out");
  const main = h("main", { id: "main", tabindex: -1 });
  const who = h(
    "a",
    { class: "who", href: "/settings#account", title: `${session.email}, ${roleLabel(session.role)} of ${session.organization}` },
    session.name,
  );
  root().replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: (event: Event) => skip(event, main) }, "Skip to content"),
    h(
      "header",
      { class: "bar" },
      h("a", { class: "brand", href: home(session) }, h("img", { src: "/favicon.svg", alt: "", width: 26, height: 26 }), "Tandem"),
      h("nav", { "aria-label": "Pages" }, ...links),
      status,
      who,
      logout,
    ),
    main,
  );
  const takes = PAGES.find(({ name }) => name === page)?.takes ?? [];
  if (takes.length > 0 && !may(session, ...takes)) {
    main.replaceChildren(forbidden(session));
    return undefined;
  }
  return {
    session,
    main,
    connection(state) {
      status.hidden = false;
      status.dataset["state"] = state;
      setText(status, CONNECTION[state]);
    },
    renamed: () => setText(who, session.name),
    keepPage(hangUp) {
      call = hangUp;
      const keep = hangUp !== undefined;
      for (const one of [...links, who]) {
        if (keep && one.getAttribute("aria-current") === null) one.target = "_blank";
        else one.removeAttribute("target");
      }
    },
  };
}

/** Focuses the main part without changing the fragment, which the pages use themselves. */
function skip(event: Event, main: HTMLElement): void {
  event.preventDefault();
  main.focus();
}

function forbidden(session: Session): HTMLElement {
  return h(
    "div",
    { class: "narrow" },
    h(
      "div",
      { class: "card stack", role: "alert" },
      h("h1", {}, "This page is not for your role"),
      h(
        "p",
        {},
        `You are signed in as ${roleLabel(session.role).toLowerCase()} of ${session.organization}. An owner or admin can give you another role.`,
      ),
      h("a", { class: "button primary", href: home(session) }, "Go to your start page"),
    ),
  );
}

function askToSignOut(hangUp: () => void): void {
  confirm({
    id: "logout-confirm",
    title: "Sign out during a call?",
    text: "Your part in the call ends when you sign out.",
    action: "Hang up and sign out",
    run: async () => {
      hangUp();
      await signOut();
    },
  });
}

async function signOut(): Promise<void> {
  await api.logout().catch(() => undefined);
  location.assign("/login");
}

/** Returns the element that holds the page. */
export function root(): HTMLElement {
  const element = document.getElementById("app");
  if (!element) throw new Error("the page has no #app");
  return element;
}

/** Returns a page that says why the page cannot start. */
export function failure(error: unknown): HTMLElement {
  const text = error instanceof Error ? error.message : "Something went wrong.";
  return h(
    "main",
    { class: "narrow" },
    h(
      "div",
      { class: "card stack", role: "alert" },
      h("h1", {}, "This page cannot start"),
      h("p", {}, text),
      h("button", { class: "primary", type: "button", onclick: () => location.reload() }, "Try again"),
    ),
  );
}
