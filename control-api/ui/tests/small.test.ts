import assert from "node:assert/strict";
import { test } from "node:test";
import { Latest } from "../src/latest.js";
import { FlowWatch, meterPercent, smooth } from "../src/level.js";
import { microphoneError, microphoneText } from "../src/microphone.js";
import { dialTarget, domainOf } from "../src/numbers.js";
import { applyProvider, limits, NO_PROVIDERS, parseProvider, summary } from "../src/providers.js";
import { refreshDelay } from "../src/token.js";
import { dateTime, duration, languageName, relative } from "../src/words.js";

test("only the newest request's answer is wanted", () => {
  const latest = new Latest();
  const first = latest.begin();
  const second = latest.begin();
  assert.deepEqual([first(), second()], [false, true]);
  latest.cancel();
  assert.equal(second(), false);
});

test("meters show 60 dB, rise at once and fall slowly", () => {
  assert.deepEqual([0, -1, Number.NaN, 0.001, 0.1, 1, 5].map(meterPercent), [0, 0, 0, 0, 67, 100, 100]);
  assert.deepEqual([smooth(10, 80), smooth(80, 10), smooth(12, 10)], [80, 72, 10]);
});

test("missing packets are detected after the limit", () => {
  const watch = new FlowWatch(3000);
  assert.deepEqual([watch.update(5, 0), watch.update(5, 2999), watch.update(5, 3000), watch.update(6, 3001)], [true, true, false, true]);
});

test("numbers, short codes and SIP addresses can be dialled", () => {
  const target = (text: string): string => {
    const dialled = dialTarget(text, "tandem.example");
    return dialled.ok ? dialled.target : `! ${dialled.problem}`;
  };
  assert.equal(target(" +44 (20) 7946-0123 "), "sip:+442079460123@tandem.example");
  assert.equal(target("echo"), "sip:echo@tandem.example");
  assert.equal(target("*21#"), "sip:*21%23@tandem.example");
  assert.equal(target("sip:bob@example.net"), "sip:bob@example.net");
  for (const bad of ["", "+0123", "+12345678901234567", "sip:bob", "two words!", "<script>"]) assert.match(target(bad), /^!/, bad);
});

test("the domain of an address is extracted", () => {
  assert.equal(domainOf("sip:ana@127.0.0.1:8080;transport=ws"), "127.0.0.1:8080");
  assert.equal(domainOf("nonsense"), "");
});

test("tokens are fetched again before they expire", () => {
  const now = Date.parse("2026-11-21T10:00:00Z");
  assert.equal(refreshDelay("2026-11-21T10:10:00Z", now), 480_000);
  assert.equal(refreshDelay("2026-11-21T09:00:00Z", now), 5_000);
  assert.equal(refreshDelay("2026-11-28T10:00:00Z", now), 3_600_000);
  assert.equal(refreshDelay(now / 1000 + 100, now), 80_000);
  assert.equal(refreshDelay("soon", now), 60_000);
});

test("a recogniser can be up and yet not support Spanish", () => {
  const of = (value: unknown) => {
    const parsed = parseProvider(value);
    assert.ok(parsed);
    return parsed;
  };
  let providers = applyProvider(NO_PROVIDERS, of({ kind: "stt", name: "local", state: "up" }));
  providers = applyProvider(
    providers,
    of({ kind: "stt", name: "local", state: { state: "unsupported", detail: "Spanish speech cannot be recognised offline." } }),
  );
  assert.equal(summary(providers.stt), "up");
  assert.deepEqual(limits(providers), ["Spanish speech cannot be recognised offline."]);
  providers = applyProvider(providers, of({ type: "provider", provider: { kind: "stt", name: "local", state: "down", detail: "gone" } }));
  assert.equal(summary(providers.stt), "down");
  assert.equal(summary(providers.tts), "unknown");
  for (const bad of [null, {}, { kind: "llm", state: "up" }, { kind: "tts", state: "odd" }]) assert.equal(parseProvider(bad), undefined);
});

test("low space for recordings is shown like a provider's state", () => {
  const low = parseProvider({ kind: "recording", name: "disk", state: "low", detail: "only 900 MB are free" });
  assert.ok(low);
  const providers = applyProvider(NO_PROVIDERS, low);
  assert.equal(summary(providers.recording), "low");
  assert.equal(summary(providers.stt), "unknown");
});

test("every microphone problem has one sentence that says what to do", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError"]) {
    assert.match(microphoneText(microphoneError(name)), /: .*(allow|plug|close)/);
  }
  assert.equal(microphoneText("granted"), "");
});

test("durations and languages have readable names", () => {
  assert.deepEqual([-1, 59_999, 60_000, 3_661_000].map(duration), ["0:00", "0:59", "1:00", "1:01:01"]);
  assert.deepEqual([languageName("es"), languageName("??")], ["Spanish", "??"]);
});

test("times are formatted for people", () => {
  const now = new Date(2026, 10, 22, 15, 30).getTime();
  const at = (...when: [number, number, number, number, number]): string => new Date(...when).toISOString();
  assert.equal(dateTime(at(2026, 10, 22, 9, 5), now), "Today, 09:05");
  assert.equal(dateTime(at(2026, 10, 21, 9, 5), now), "Sat 21 Nov, 09:05");
  assert.equal(dateTime(at(2025, 0, 3, 9, 5), now), "3 Jan 2025, 09:05");
  assert.equal(dateTime(null, now), "");
  const ago = (seconds: number): string => relative(new Date(now - seconds * 1000).toISOString(), now);
  assert.deepEqual([5, 300, 7200, 86_400, -6 * 86_400].map(ago), ["just now", "5 minutes ago", "2 hours ago", "yesterday", "in 6 days"]);
});
