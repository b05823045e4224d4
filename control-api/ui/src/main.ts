/** Chooses the page by path; only that page's code is loaded. */
import "./style.css";
import "./forms.css";
import "./records.css";
import * as api from "./api.js";
import { home } from "./session.js";
import { failure, root } from "./shell.js";

async function start(): Promise<void> {
  const path = location.pathname.replace(/\.html$/, "").replace(/\/+$/, "");
  if (path === "/login") (await import("./login/page.js")).loginPage();
  else if (path === "/signup") (await import("./login/signup.js")).signupPage();
  else if (path === "/invitation") (await import("./login/invitation.js")).invitationPage();
  else if (path === "/reset") (await import("./login/reset.js")).resetPage();
  else if (path === "/agent") await (await import("./agent/page.js")).agentPage();
  else if (path === "/live") await (await import("./live/page.js")).livePage();
  else if (path === "/settings") await (await import("./settings/page.js")).settingsPage();
  else if (path === "/calls") await (await import("./calllist/page.js")).callListPage();
  else if (/^\/calls\/[\w-]+$/.test(path)) await (await import("./callpage/page.js")).callPage(path.slice("/calls/".length));
  else await openStartPage();
}

/** Goes to the user's start page, or to the sign-in page. */
async function openStartPage(): Promise<void> {
  try {
    location.replace(home(await api.session()));
  } catch (error) {
    if (!(error instanceof api.ApiError) || error.status !== 401) throw error;
    location.replace("/login");
  }
}

start().catch((error: unknown) => root().replaceChildren(failure(error)));
