/** Chooses the page by path; each page's code is loaded only there. */
import "./style.css";
import { failure, root } from "./shell.js";

async function start(): Promise<void> {
  const path = location.pathname.replace(/\.html$/, "").replace(/\/+$/, "");
  if (path === "/login") (await import("./login/page.js")).loginPage();
  else if (path === "/agent") await (await import("./agent/page.js")).agentPage();
  else if (path === "/live") await (await import("./live/page.js")).livePage();
  else location.replace("/agent");
}

start().catch((error: unknown) => root().replaceChildren(failure(error)));
