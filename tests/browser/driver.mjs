/**
 * Drives the system's Chromium or Firefox for the Rust tests: one JSON request per line on standard input, one JSON answer
 * per line on standard output.
 *
 *   {"id": 1, "do": "open", "url": "..."}  ->  {"id": 1, "value": ...} | {"id": 1, "error": "..."}
 *
 * Requests are executed in order. The end of standard input closes the browser.
 */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { launchChromium, launchFirefox, putPhone } from "./browsers.mjs";

let browser;
let page;
/** Warnings and errors of the page's console, and uncaught errors. */
const complaints = [];
/** The newest SIP messages, included in the text of a failure. */
const sip = [];
const keep =
  (direction) =>
  ({ payload }) => {
    sip.push(`${direction} ${payload}`);
    if (sip.length > 12) sip.shift();
  };
/** Calls a function of the page. Results are sent as text, because Firefox would send each number of a list as a separate object. */
const ask = async (object, name, argument) => {
  const run = async ([on, key, value]) => JSON.stringify((await window[on][key](value)) ?? null);
  return JSON.parse(await page.evaluate(run, [object, name, argument ?? null]));
};

/**
 * Loads a page, and returns the status. Chromium abandons a load while the machine's network interfaces change, and in a
 * window repeats it by itself.
 */
async function loaded(load) {
  for (let tries = 3; ; tries -= 1) {
    try {
      return (await load())?.status();
    } catch (error) {
      if (tries === 1 || !error.message.includes("ERR_NETWORK_CHANGED")) throw error;
    }
  }
}

const actions = {
  /** `browser`: `chromium` or `firefox`. */
  async launch({ browser: kind, ...wanted }) {
    const launch = { chromium: launchChromium, firefox: launchFirefox }[kind];
    ({ browser, page } = await launch({ ...wanted, keep }));
    page.on("console", (message) => {
      if (["error", "warning", "warn"].includes(message.type())) complaints.push(message.text());
    });
    // A page with a call asks for confirmation before it is left.
    page.on("dialog", (dialog) => (dialog.type() === "beforeunload" ? dialog.accept() : dialog.dismiss()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    return browser.version();
  },
  open: ({ url }) => loaded(() => page.goto(url, { waitUntil: "load" })),
  reload: () => loaded(() => page.reload({ waitUntil: "load" })),
  fill: ({ on, text }) => page.fill(on, text),
  /** Presses a key at the element with the focus. */
  press: ({ key }) => page.keyboard.press(key).then(() => null),
  /** Chooses an option of a select field. */
  choose: ({ on, text }) => page.selectOption(on, text).then(() => null),
  /** Switches a checkbox on or off. */
  check: ({ on, value }) => page.setChecked(on, value),
  /** Value of a field; below, the state of a checkbox. */
  value: ({ on }) => page.inputValue(on),
  checked: ({ on }) => page.isChecked(on),
  click: ({ on, within }) => page.click(on, { timeout: within }),
  text: ({ on }) => page.innerText(on),
  /** Waits until the attribute of an element has a value. */
  attribute: ({ on, name, value, within }) =>
    page
      .waitForFunction(([selector, key, wanted]) => document.querySelector(selector)?.getAttribute(key) === wanted, [on, name, value], {
        timeout: within,
        polling: 20,
      })
      .then(() => null),
  /** Chooses a file in a file input. */
  attach: ({ on, path }) => page.setInputFiles(on, path),
  /** Waits until an element's text contains `text`. */
  says: ({ on, text, within }) =>
    page
      .waitForFunction(([selector, words]) => document.querySelector(selector)?.innerText.includes(words), [on, text], {
        timeout: within,
        polling: 20,
      })
      .then(() => null),
  /** Waits until the matching elements have these values of an attribute, in this order. */
  list: ({ on, name, values, within }) =>
    page
      .waitForFunction(
        ([selector, key, wanted]) =>
          JSON.stringify([...document.querySelectorAll(selector)].map((one) => one.getAttribute(key))) === wanted,
        [on, name, JSON.stringify(values)],
        { timeout: within, polling: 20 },
      )
      .then(() => null),
  /** Waits until the page's address, without scheme and host, is `path`. */
  arrive: ({ path, within }) => page.waitForURL((url) => url.pathname + url.search + url.hash === path, { timeout: within }),
  /** Clicks on a link to a file and returns the file's name and text. */
  async download({ on, within }) {
    const [download] = await Promise.all([page.waitForEvent("download", { timeout: within }), page.click(on)]);
    return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
  },
  /** Waits until an element is visible, or is not. */
  visible: ({ on, value, within }) => page.waitForSelector(on, { state: value ? "visible" : "hidden", timeout: within }).then(() => null),
  /** Calls a function of page.js. */
  call: ({ name, argument }) => ask("tandemTest", name, argument),
  /** Turns the open page into a phone (phone.js); below, calls a function of that phone. */
  put: () => putPhone(page),
  phone: ({ name, argument }) => ask("tandemPhone", name, argument),
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
    const shown = page ? await page.evaluate(() => document.body.innerText).catch(() => "") : "";
    answer = { id, error: `${action}: ${error.message}`, shown, complaints, sip };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await actions.close();
