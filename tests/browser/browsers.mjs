/** Browsers that the driver can launch, each with one page that runs `page.js` before its own scripts. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

const PAGE = fileURLToPath(new URL("./page.js", import.meta.url));
const PHONE = fileURLToPath(new URL("./phone.js", import.meta.url));

/** Launches Chromium with Playwright. `microphone` is a WAV file that replaces the microphone. */
export async function launchChromium({ microphone, keep }) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      `--use-file-for-fake-audio-capture=${microphone}`,
      "--autoplay-policy=no-user-gesture-required",
      "--ignore-certificate-errors",
      // Shows loopback candidates as addresses, not as mDNS names.
      "--disable-features=WebRtcHideLocalIpsWithMdns",
      "--disable-gpu",
      "--disable-dev-shm-usage",
    ],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  await context.addInitScript({ path: PAGE });
  const page = await context.newPage();
  page.on("websocket", (socket) => {
    socket.on("framesent", keep(">>"));
    socket.on("framereceived", keep("<<"));
  });
  return { browser, page };
}

/** Launches Firefox with WebDriver BiDi. Its microphone is Firefox's built-in tone at `hertz`. */
export async function launchFirefox({ hertz }) {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    acceptInsecureCerts: true,
    extraPrefsFirefox: {
      "media.navigator.streams.fake": true,
      "media.navigator.audio.fake_frequency": hertz,
      "media.navigator.permission.disabled": true,
      "media.peerconnection.ice.loopback": true,
      "media.peerconnection.ice.obfuscate_host_addresses": false,
      "media.autoplay.default": 0,
      "media.autoplay.blocking_policy": 0,
    },
  });
  const page = await browser.newPage();
  await page.evaluateOnNewDocument(await readFile(PAGE, "utf8"));
  return { browser, page };
}

/** Runs `phone.js`, bundled with its libraries, in the open page. */
export async function putPhone(page) {
  const { outputFiles } = await build({ entryPoints: [PHONE], bundle: true, write: false, format: "iife", target: "es2022" });
  await page.evaluate(outputFiles[0].text);
}
