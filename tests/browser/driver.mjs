/**
 * Drives the system's Chromium for the tests in Rust: one JSON request a line on standard input, one answer a line
 * on standard output.
 *
 *   {"id": 1, "do": "open", "url": "..."}  ->  {"id": 1, "value": ...} | {"id": 1, "error": "..."}
 *
 * Requests are carried out in order. The end of standard input closes the browser.
 */
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const PAGE = fileURLToPath(new URL("./page.js", import.meta.url));
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

let browser;
let page;
/** What the page wrote to its console, and its uncaught errors. */
const complaints = [];
/** The newest SIP messages, shown when something fails. */
const sip = [];
const keep = (direction) => ({ payload }) => {
  sip.push(`${direction} ${payload}`);
  if (sip.length > 12) sip.shift();
};

const actions = {
  /** `microphone`: WAV file that takes the microphone's place. */
  async launch({ microphone }) {
    browser = await chromium.launch({
      executablePath,
      args: [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        `--use-file-for-fake-audio-capture=${microphone}`,
        "--autoplay-policy=no-user-gesture-required",
        "--ignore-certificate-errors",
        // Loopback candidates as they are, not behind mDNS names.
        "--disable-features=WebRtcHideLocalIpsWithMdns",
        "--disable-gpu",
        "--disable-dev-shm-usage",
      ],
    });
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    await context.addInitScript({ path: PAGE });
    page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    page.on("websocket", (socket) => {
      socket.on("framesent", keep(">>"));
      socket.on("framereceived", keep("<<"));
    });
    // A page with a call asks whether it may be left.
    page.on("dialog", (dialog) => (dialog.type() === "beforeunload" ? dialog.accept() : dialog.dismiss()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    return browser.version();
  },
  open: ({ url }) => page.goto(url, { waitUntil: "load" }).then((response) => response?.status()),
  reload: () => page.reload({ waitUntil: "load" }).then((response) => response?.status()),
  fill: ({ on, text }) => page.fill(on, text),
  click: ({ on, within }) => page.click(on, { timeout: within }),
  text: ({ on }) => page.innerText(on),
  /** Waits until the attribute of an element has a value. */
  attribute: ({ on, name, value, within }) =>
    page.waitForFunction(
      ([selector, key, wanted]) => document.querySelector(selector)?.getAttribute(key) === wanted,
      [on, name, value],
      { timeout: within, polling: 20 },
    ).then(() => null),
  /** Waits until an element can be seen, or cannot. */
  visible: ({ on, value, within }) =>
    page.waitForSelector(on, { state: value ? "visible" : "hidden", timeout: within }).then(() => null),
  /** Calls a function of page.js. */
  call: ({ name, argument }) => page.evaluate(([key, value]) => window.tandemTest[key](value), [name, argument]),
  complaints: () => complaints.splice(0),
  async close() {
    await browser?.close();
    browser = undefined;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: action, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { id, value: (await actions[action](rest)) ?? null };
  } catch (error) {
    const shown = page ? await page.innerText("body", { timeout: 1000 }).catch(() => "") : "";
    answer = { id, error: `${action}: ${error.message}`, shown, complaints, sip };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await actions.close();
