/**
 * Drives the system's Chromium or Firefox for the tests in Rust: one JSON request a line on standard input, one answer a
 * line on standard output.
 *
 *   {"id": 1, "do": "open", "url": "..."}  ->  {"id": 1, "value": ...} | {"id": 1, "error": "..."}
 *
 * Requests are carried out in order. The end of standard input closes the browser.
 */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { launchChromium, launchFirefox, putPhone } from "./browsers.mjs";

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
/** As text: Firefox would send each number of a list as an object of its own. */
const ask = async (object, name, argument) => {
  const run = async ([on, key, value]) => JSON.stringify((await window[on][key](value)) ?? null);
  return JSON.parse(await page.evaluate(run, [object, name, argument ?? null]));
};

const actions = {
  /** `browser`: `chromium` or `firefox`. */
  async launch({ browser: kind, ...wanted }) {
    const launch = { chromium: launchChromium, firefox: launchFirefox }[kind];
    ({ browser, page } = await launch({ ...wanted, keep }));
    page.on("console", (message) => {
      if (["error", "warning", "warn"].includes(message.type())) complaints.push(message.text());
    });
    // A page with a call asks whether it may be left.
    page.on("dialog", (dialog) => (dialog.type() === "beforeunload" ? dialog.accept() : dialog.dismiss()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    return browser.version();
  },
  open: ({ url }) => page.goto(url, { waitUntil: "load" }).then((response) => response?.status()),
  reload: () => page.reload({ waitUntil: "load" }).then((response) => response?.status()),
  fill: ({ on, text }) => page.fill(on, text),
  /** Presses a key where the focus is. */
  press: ({ key }) => page.keyboard.press(key).then(() => null),
  /** Chooses among words. */
  choose: ({ on, text }) => page.selectOption(on, text).then(() => null),
  /** Switches on or off. */
  check: ({ on, value }) => page.setChecked(on, value),
  /** What stands in a field; whether it is on. */
  value: ({ on }) => page.inputValue(on),
  checked: ({ on }) => page.isChecked(on),
  click: ({ on, within }) => page.click(on, { timeout: within }),
  text: ({ on }) => page.innerText(on),
  /** Waits until the attribute of an element has a value. */
  attribute: ({ on, name, value, within }) =>
    page.waitForFunction(
      ([selector, key, wanted]) => document.querySelector(selector)?.getAttribute(key) === wanted,
      [on, name, value],
      { timeout: within, polling: 20 },
    ).then(() => null),
  /** Chooses a file in an input. */
  attach: ({ on, path }) => page.setInputFiles(on, path),
  /** Waits until an element's text has words in it. */
  says: ({ on, text, within }) =>
    page.waitForFunction(
      ([selector, words]) => document.querySelector(selector)?.innerText.includes(words),
      [on, text],
      { timeout: within, polling: 20 },
    ).then(() => null),
  /** Waits until the elements are those with these values of an attribute, in this order. */
  list: ({ on, name, values, within }) =>
    page.waitForFunction(
      ([selector, key, wanted]) => JSON.stringify([...document.querySelectorAll(selector)].map((one) => one.getAttribute(key))) === wanted,
      [on, name, JSON.stringify(values)],
      { timeout: within, polling: 20 },
    ).then(() => null),
  /** Waits until the address is this one, without scheme and host. */
  arrive: ({ path, within }) => page.waitForURL((url) => url.pathname + url.search + url.hash === path, { timeout: within }),
  /** Clicks on a link to a file: its name and text. */
  async download({ on, within }) {
    const [download] = await Promise.all([page.waitForEvent("download", { timeout: within }), page.click(on)]);
    return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
  },
  /** Waits until an element can be seen, or cannot. */
  visible: ({ on, value, within }) =>
    page.waitForSelector(on, { state: value ? "visible" : "hidden", timeout: within }).then(() => null),
  /** Calls a function of page.js. */
  call: ({ name, argument }) => ask("tandemTest", name, argument),
  /** Makes the open page a phone (phone.js), and calls a function of it. */
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
