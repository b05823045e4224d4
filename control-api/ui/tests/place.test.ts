import assert from "node:assert/strict";
import { test } from "node:test";
import { readPlace } from "../src/live/place.js";

const CARDS = [
  { top: -400, bottom: -100 },
  { top: -90, bottom: 210 },
  { top: 220, bottom: 520 },
  { top: 900, bottom: 1200 },
];

test("the first visible card is the one that is read", () => {
  assert.equal(readPlace(CARDS, -1, 64, 800), 1);
  assert.equal(readPlace(CARDS.slice(0, 1), -1, 64, 800), -1, "nothing is visible");
  assert.equal(readPlace([], -1, 64, 800), -1);
});

test("the card under pointer or focus is read, unless it is not visible", () => {
  assert.equal(readPlace(CARDS, 2, 64, 800), 2);
  assert.equal(readPlace(CARDS, 3, 64, 800), 1);
});
