/** The settings page. It shows one section at a time, chosen by the address's fragment, so that each section has its own link. */
import { h, setText } from "../dom.js";
import { may, roleLabel } from "../session.js";
import { shell } from "../shell.js";
import { start } from "../start.js";
import { ACCOUNT } from "./account.js";
import { AUDIT } from "./audit.js";
import { CALLERS } from "./callers.js";
import type { Section } from "./context.js";
import { KEYS } from "./keys.js";
import { MEMBERS } from "./members.js";
import { ORGANIZATION } from "./organization.js";
import { SOUNDS } from "./sounds.js";
import { TARGETS } from "./targets.js";
import { USAGE } from "./usage.js";
import { CAPABILITIES, VOICE } from "./voice.js";

const SECTIONS: readonly Section[] = [ORGANIZATION, MEMBERS, KEYS, VOICE, CAPABILITIES, CALLERS, TARGETS, SOUNDS, USAGE, AUDIT, ACCOUNT];

/** Opens the settings. */
async function settingsPage(): Promise<void> {
  const frame = await shell("settings");
  if (!frame) return;
  const { session } = frame;
  const sections = SECTIONS.filter(({ takes }) => takes.length === 0 || may(session, ...takes));
  const links = new Map(sections.map(({ name, label }) => [name, h("a", { href: `#${name}`, "data-section": name }, label)]));
  const whose = h("p", { class: "muted" });
  const renamed = (): void => {
    frame.renamed();
    setText(whose, `${session.organization}, ${roleLabel(session.role).toLowerCase()}`);
  };
  renamed();
  const place = h("div", { id: "settings-section", class: "settings-section" });
  frame.main.replaceChildren(
    h(
      "div",
      { class: "settings" },
      h(
        "div",
        { class: "settings-side" },
        h("h1", {}, "Settings"),
        whose,
        h("nav", { class: "settings-nav", "aria-label": "Settings" }, ...links.values()),
      ),
      place,
    ),
  );

  let shown = "";
  const show = (move: boolean): void => {
    const wanted = sections.find(({ name }) => name === location.hash.slice(1)) ?? sections[0];
    if (!wanted || wanted.name === shown) return;
    shown = wanted.name;
    for (const [name, link] of links) {
      if (name === shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${wanted.label} · Settings · Tandem`;
    place.replaceChildren(wanted.build({ session, renamed }));
    links.get(shown)?.scrollIntoView({ block: "nearest", inline: "center" });
    if (move) window.scrollTo({ top: 0 });
  };
  window.addEventListener("hashchange", () => show(true));
  show(false);
}

start(settingsPage);
