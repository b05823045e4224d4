import assert from "node:assert/strict";
import { test } from "node:test";
import { hearsText, isImpaired, parseListening } from "../src/listening.js";

const both = (agent: object, customer: object = {}) => {
  const listening = parseListening({
    customer: { language: "en", hears: "ducked", level: "voice", ...customer },
    agent: { language: "es", hears: "ducked", level: "voice", ...agent },
  });
  assert.ok(listening);
  return listening;
};

test("a state without both sides is not taken", () => {
  assert.equal(parseListening({ customer: { language: "en" } }), undefined);
  assert.equal(parseListening(null), undefined);
  assert.equal(both({ hears: "strange", level: 7 }).agent.hears, "ducked");
});

test("what a side hears is said in words", () => {
  const text = (agent: object, customer: object = {}): string => hearsText(both(agent, customer), "agent");
  assert.equal(text({}), "Spanish over the quieter original");
  assert.equal(text({ level: "faster" }), "Spanish over the quieter original, sped up");
  assert.equal(text({ hears: "translation" }), "only Spanish");
  assert.match(text({ hears: "original" }), /^the original;/);
  assert.match(text({ hears: "translation", level: "text" }), /Spanish comes as text/);
  assert.match(text({ level: "original" }), /no translations come/);
  assert.match(text({ language: "en-GB" }), /same language/);
});

test("a side is impaired when translations do not reach it as chosen", () => {
  assert.equal(isImpaired(both({ level: "text" }).agent), true);
  assert.equal(isImpaired(both({ level: "faster" }).agent), false);
  assert.equal(isImpaired(both({ hears: "original", level: "text" }).agent), false);
});
