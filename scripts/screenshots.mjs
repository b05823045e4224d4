// Takes screenshots of the pages of a running server, at desktop and phone width, light and dark.
//
//   tandem demo                                                    (prints the address and a login)
//   node scripts/screenshots.mjs URL EMAIL PASSWORD [FOLDER]
//
// The pages are shown with whatever the server holds: run it during a call for the live page. Two of the pictures,
// live-1280-light.png and call-1280-light.png, are those of docs/ (live.png, call.png). Needs Chromium and the packages of
// tests/browser (`make test` installs both).

import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, email, password, folder = "screenshots"] = process.argv.slice(2);
if (!password) {
  console.error("usage: node scripts/screenshots.mjs URL EMAIL PASSWORD [FOLDER]");
  process.exit(2);
}
const { chromium } = createRequire(join(import.meta.dirname, "../tests/browser/"))("playwright-core");
const WIDTHS = [
  [1280, 800],
  [390, 844],
];
const SCHEMES = ["light", "dark"];

mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
});
let failed = 0;
for (const [width, height] of WIDTHS) {
  for (const colorScheme of SCHEMES) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, ignoreHTTPSErrors: true });
    const page = await context.newPage();
    const take = async (name, path) => {
      try {
        // Pages with an event stream are never idle: wait until nothing has changed for half a second, 10 s at most.
        await page.goto(new URL(path, url).href, { waitUntil: "load" });
        await page.evaluate(
          () =>
            new Promise((resolve) => {
              const end = setTimeout(resolve, 10_000);
              let quiet = setTimeout(resolve, 500);
              new MutationObserver(() => {
                clearTimeout(quiet);
                quiet = setTimeout(() => {
                  clearTimeout(end);
                  resolve();
                }, 500);
              }).observe(document.body, { subtree: true, childList: true, characterData: true });
            }),
        );
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) {
          console.error(`${name} at ${width} px is ${wide} px too wide`);
          failed += 1;
        }
        const file = join(folder, `${name}-${width}-${colorScheme}.png`);
        await page.screenshot({ path: file, fullPage: width < 600 });
        console.log(file);
      } catch (error) {
        console.error(`${name}: ${error.message}`);
        failed += 1;
      }
    };
    await take("login", "/login");
    await page.fill("input[type=email]", email);
    await page.fill("input[type=password]", password);
    await Promise.all([page.waitForURL((now) => !now.pathname.startsWith("/login")), page.click("button[type=submit]")]);
    await take("live", "/live");
    await take("agent", "/agent");
    await take("calls", "/calls");
    const calls = await page.evaluate(async () => (await (await fetch("/api/calls?limit=20")).json()).calls);
    const call = calls.find((call) => call.status === "ended") ?? calls[0];
    if (call) await take("call", `/calls/${call.id}`);
    await take("settings", "/settings");
    await context.close();
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
