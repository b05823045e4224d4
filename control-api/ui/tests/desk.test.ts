import assert from "node:assert/strict";
import { test } from "node:test";
import { type Entry, searchEntries, targetOf } from "../src/agent/directory.js";
import { commandOf, type Pressed, SHORTCUTS } from "../src/agent/shortcuts.js";
import { applyWishes, compare, dropDone, NO_WISHES, settle, wish } from "../src/agent/wishes.js";
import { applyLegEvent, applyLegs } from "../src/legs.js";

const LEGS = applyLegs([
  { leg: 1, role: "customer", state: "answered", peer: "x" },
  { leg: 2, role: "agent", state: "answered", peer: "ana" },
]);
const HELD = applyLegEvent(LEGS, "call.seat", { leg: 1, held: true, muted: false });

test("a wish is shown at once, until the server agrees", () => {
  let wishes = wish(NO_WISHES, 1, "held", true, 1);
  assert.equal(applyWishes(wishes, LEGS).get(1)?.held, true);
  assert.equal(LEGS.get(1)?.held, false);
  wishes = settle(wishes, 1, true);
  assert.equal(applyWishes(compare(wishes, LEGS), LEGS).get(1)?.held, true, "the event has not arrived yet");
  assert.equal(compare(wishes, HELD).length, 0);
});

test("a refused wish is removed", () => {
  assert.equal(settle(wish(NO_WISHES, 1, "held", true, 1), 1, false).length, 0);
});

test("the newest wish counts, whatever the result of earlier ones", () => {
  let wishes = wish(wish(NO_WISHES, 1, "held", true, 1), 1, "held", false, 2);
  wishes = settle(wishes, 1, false);
  assert.equal(applyWishes(wishes, HELD).get(1)?.held, false);
  // The event of the first request arrives while the second is in progress: the shown state must not flicker.
  assert.equal(applyWishes(compare(dropDone(wishes, 1), HELD), HELD).get(1)?.held, false);
  assert.equal(wishes.length, 1);
});

test("a later change from elsewhere replaces a wish that is done", () => {
  const wishes = settle(wish(NO_WISHES, 1, "held", true, 1), 1, true);
  assert.equal(applyWishes(dropDone(wishes, 1), LEGS).get(1)?.held, false);
});

test("the wishes of a leg end with the leg", () => {
  const ended = applyLegEvent(LEGS, "call.leg", { leg: 1, role: "customer", state: "ended", peer: "x" });
  assert.equal(compare(wish(NO_WISHES, 1, "muted", true, 1), ended).length, 0);
  assert.equal(applyWishes(wish(NO_WISHES, 9, "muted", true, 1), LEGS).has(9), false);
});

const PLAIN: Pressed = { key: "m", ctrlKey: false, metaKey: false, altKey: false, repeat: false };
const FREE = { typing: false, letters: true };

test("no letter answers a call, and typed text is not a command", () => {
  for (const key of ["a", "m", " ", "Enter", "y", "?"]) assert.equal(commandOf({ ...PLAIN, key }, "incoming", FREE), undefined, key);
  assert.equal(commandOf({ ...PLAIN, key: "Enter", ctrlKey: true }, "incoming", { typing: true, letters: false }), "answer");
  assert.equal(commandOf(PLAIN, "active", { typing: true, letters: true }), undefined);
  assert.equal(commandOf({ ...PLAIN, key: "Delete", ctrlKey: true }, "active", { typing: true, letters: true }), undefined);
});

test("P parks during a call, and goes to the parked calls between calls", () => {
  const pressed = { ...PLAIN, key: "p" };
  assert.deepEqual(
    ["active", "idle", "incoming", "calling"].map((phase) => commandOf(pressed, phase, FREE)),
    ["park", "parked", undefined, undefined],
  );
  assert.equal(commandOf(pressed, "idle", { typing: true, letters: true }), undefined);
});

test("letters act during a call unless they are switched off", () => {
  assert.equal(commandOf(PLAIN, "active", FREE), "mute");
  assert.equal(commandOf({ ...PLAIN, key: "H" }, "active", FREE), "hold");
  assert.equal(commandOf(PLAIN, "active", { typing: false, letters: false }), undefined);
  assert.equal(commandOf({ ...PLAIN, repeat: true }, "active", FREE), undefined);
  assert.equal(commandOf({ ...PLAIN, altKey: true }, "active", FREE), undefined);
  assert.equal(commandOf({ ...PLAIN, ctrlKey: true, key: "a" }, "active", FREE), undefined);
  for (const phase of ["incoming", "calling", "active"])
    assert.equal(commandOf({ ...PLAIN, key: "Delete", ctrlKey: true }, phase, FREE), "hangup");
  assert.equal(commandOf({ ...PLAIN, key: "Delete", ctrlKey: true }, "idle", FREE), undefined);
});

test("every listed shortcut runs the listed command", () => {
  for (const { command, keys } of SHORTCUTS) {
    const key = keys.split(" + ").at(-1) ?? "";
    const phase = command === "answer" ? "incoming" : "active";
    assert.equal(
      commandOf({ ...PLAIN, key: key.length === 1 ? key.toLowerCase() : key, ctrlKey: keys.startsWith("Ctrl") }, phase, FREE),
      command,
      keys,
    );
  }
});

const KNOWN: Entry[] = [
  { kind: "colleague", name: "Luis Fernández", address: "luis" },
  { kind: "colleague", name: "Oluwaseun Adebayo", address: "oluwaseun" },
  { kind: "target", name: "Interpreter desk", address: "sip:interpreters@example.com" },
  { kind: "target", name: "Dispatch", address: "+34910000112" },
];
const names = (query: string): string[] => searchEntries(KNOWN, query).map(({ name }) => name);

test("people are found by any part of their names, without accents", () => {
  assert.deepEqual(names("fernandez lu"), ["Luis Fernández"]);
  assert.deepEqual(names("LU"), ["Luis Fernández", "Oluwaseun Adebayo"]);
  assert.deepEqual(names("desk"), ["Interpreter desk"]);
  assert.deepEqual(names("910 000 112"), ["Dispatch"]);
  assert.deepEqual(names("910000112"), ["Dispatch"]);
  assert.equal(names("").length, KNOWN.length);
  assert.deepEqual(names("nobody"), []);
});

test("a number or an address can be called as typed", () => {
  assert.deepEqual(searchEntries(KNOWN, "+44 (20) 7946-0123").at(-1), { kind: "number", name: "+442079460123", address: "+442079460123" });
  assert.deepEqual(names("+34910000112"), ["Dispatch"]);
  assert.deepEqual(searchEntries(KNOWN, "sip:x@example.net").map(targetOf), [{ to: "sip:x@example.net" }]);
  assert.deepEqual(searchEntries(KNOWN, "luis").map(targetOf), [{ agent: "luis" }]);
});
