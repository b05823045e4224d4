/** What every page has: header, navigation, who is signed in. */
import * as api from "./api.js";
import { h, setText } from "./dom.js";
import type { StreamState } from "./stream.js";

export interface Shell {
  session: api.Session;
  main: HTMLElement;
  /** Shows whether the page is up to date. */
  connection(state: StreamState): void;
  /** While a call is up, links open beside the page instead of ending it. */
  keepPage(keep: boolean): void;
}

const CONNECTION: Record<StreamState, string> = {
  connecting: "Connecting",
  live: "Connected",
  waiting: "Connection lost, trying again",
  ended: "Disconnected",
};

export async function shell(page: "agent" | "live"): Promise<Shell | undefined> {
  let session: api.Session;
  try {
    session = await api.session();
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 401) api.toLogin();
    else root().replaceChildren(failure(error));
    return undefined;
  }
  const link = (name: string, label: string): HTMLAnchorElement =>
    h("a", { href: `/${name}`, "aria-current": name === page ? "page" : null }, label);
  const links = [link("agent", "Phone"), link("live", "Live")];
  const status = h("span", { id: "connection", class: "pill", role: "status", "data-state": "connecting" }, "Connecting");
  const logout = h("button", { id: "logout", class: "quiet", type: "button", onclick: () => void signOut() }, "Sign out");
  const main = h("main", { id: "main", tabindex: -1 });
  root().replaceChildren(
    h("a", { class: "skip", href: "#main" }, "Skip to content"),
    h(
      "header",
      { class: "bar" },
      h("a", { class: "brand", href: "/agent" }, h("img", { src: "/favicon.svg", alt: "", width: 26, height: 26 }), "Tandem"),
      h("nav", { "aria-label": "Pages" }, ...links),
      status,
      h("span", { class: "who", title: `${session.email} ${session.organization}` }, session.name),
      logout,
    ),
    main,
  );
  return {
    session,
    main,
    connection(state) {
      status.dataset["state"] = state;
      setText(status, CONNECTION[state]);
    },
    keepPage(keep) {
      for (const one of links) {
        if (keep && one.getAttribute("aria-current") === null) one.target = "_blank";
        else one.removeAttribute("target");
      }
    },
  };
}

async function signOut(): Promise<void> {
  await api.logout().catch(() => undefined);
  location.assign("/login");
}

export function root(): HTMLElement {
  const element = document.getElementById("app");
  if (!element) throw new Error("the page has no #app");
  return element;
}

export function failure(error: unknown): HTMLElement {
  const text = error instanceof Error ? error.message : "Something went wrong.";
  return h(
    "main",
    { class: "narrow" },
    h("div", { class: "card", role: "alert" }, h("h1", {}, "This page cannot start"), h("p", {}, text),
      h("button", { class: "primary", type: "button", onclick: () => location.reload() }, "Try again")),
  );
}
