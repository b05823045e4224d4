/**
 * Cost of the live page while many calls are active: CPU time of its renderer, with calls of the mock server.
 *
 *   npm run build (in control-api/ui), then  node live_load.mjs [calls] [seconds]
 *
 * Fails when the page takes more than 15 % of a core, omits calls, or moves the card being read when calls arrive.
 */
import { chromium } from "playwright-core";
import { start } from "../../control-api/ui/dev/mock.mjs";

const LIMIT_PERCENT = 15;
/** Milliseconds between two words of one call. */
const WORD_MS = 350;
const [calls, seconds] = [Number(process.argv[2] ?? 50), Number(process.argv[3] ?? 20)];
const port = 18_000 + (process.pid % 2_000);
const server = start({ port });
const base = `http://127.0.0.1:${port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--disable-gpu", "--disable-dev-shm-usage", "--no-sandbox"],
});
const problems = [];

/** CPU seconds of the page's process so far, and of its main thread's tasks. */
async function spent(browserSession, pageSession) {
  const { processInfo } = await browserSession.send("SystemInfo.getProcessInfo");
  const { metrics } = await pageSession.send("Performance.getMetrics");
  const of = (name) => metrics.find((one) => one.name === name)?.value ?? 0;
  return {
    renderer: processInfo.filter(({ type }) => type === "renderer").reduce((sum, { cpuTime }) => sum + cpuTime, 0),
    main: of("TaskDuration"),
    script: of("ScriptDuration"),
    layout: of("LayoutDuration"),
    style: of("RecalcStyleDuration"),
    at: of("Timestamp"),
  };
}

const crowd = (body) => fetch(`${base}/mock/crowd`, { method: "POST", body: JSON.stringify(body) });

async function measure(page, browserSession, pageSession, what) {
  const before = await spent(browserSession, pageSession);
  await page.waitForTimeout(seconds * 1000);
  const after = await spent(browserSession, pageSession);
  const percent = (name) => (100 * (after[name] - before[name])) / (after.at - before.at);
  console.log(
    `${what}: renderer ${percent("renderer").toFixed(1)} % of a core (main thread ${percent("main").toFixed(1)}: script ${percent("script").toFixed(1)}, layout ${percent("layout").toFixed(1)}, style ${percent("style").toFixed(1)})`,
  );
  if (percent("renderer") > LIMIT_PERCENT)
    problems.push(`${what}: ${percent("renderer").toFixed(1)} % of a core, more than ${LIMIT_PERCENT}`);
}

try {
  await crowd({ calls, word_ms: WORD_MS });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const [browserSession, pageSession] = [await browser.newBrowserCDPSession(), await page.context().newCDPSession(page)];
  await pageSession.send("Performance.enable");
  await page.goto(`${base}/live`);
  await page.waitForFunction((wanted) => document.querySelectorAll("[data-call]").length >= wanted, calls);
  await page.waitForTimeout(3000);
  await measure(page, browserSession, pageSession, `${calls} calls, ${Math.round((calls * 1000) / WORD_MS)} events/s, all folded`);
  for (let n = 0; n < 3; n += 1) await page.locator("[data-call] [data-role=open]").nth(n).click();
  await page.waitForTimeout(1000);
  await measure(page, browserSession, pageSession, "three of them open");

  const from = await page.evaluate(() => window.scrollY);
  await page.mouse.wheel(0, 300);
  // Smooth scrolling takes long on a busy machine.
  await page.waitForFunction((wanted) => Math.abs(window.scrollY - wanted) < 1, from + 300);
  const read = await page.evaluate(() => {
    const seen = [...document.querySelectorAll("[data-call]")].find((one) => one.getBoundingClientRect().bottom > 64);
    return { id: seen.dataset.call, top: seen.getBoundingClientRect().top };
  });
  await crowd({ calls: 5, word_ms: WORD_MS });
  await page.waitForFunction((wanted) => document.querySelectorAll("[data-call]").length >= wanted, calls + 5);
  const top = await page.evaluate((id) => document.querySelector(`[data-call="${id}"]`).getBoundingClientRect().top, read.id);
  const told = await page.innerText("#live-fresh");
  console.log(`five calls more: the card being read moved by ${(top - read.top).toFixed(1)} px; notice: ${told}`);
  if (Math.abs(top - read.top) > 2) problems.push(`the card being read moved by ${top - read.top} px`);
  if (!told.includes("5 new calls")) problems.push(`the page does not announce the new calls: ${told}`);
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
