import assert from "node:assert/strict";
import { test } from "node:test";
import { inOrder, isUrgent, type Parked, parkedText, parseParked, waiterName } from "../src/agent/parked.js";

const SINCE = "2026-11-22T10:00:00Z";
const at = (seconds: number): number => Date.parse(SINCE) + seconds * 1000;

function parked(change: object = {}): Parked {
  const parsed = parseParked({
    slot: 71,
    call_id: "c",
    leg: 1,
    peer: "+15555550142",
    parked_by: "luis",
    since: SINCE,
    until: "2026-11-22T10:02:00Z",
    state: "waiting",
    ...change,
  });
  assert.ok(parsed);
  return parsed;
}

const text = (one: Parked, now = at(42)): string => parkedText(one, { me: "ana", of: (name) => ({ luis: "Luis" })[name], now });

test("a parked call shows its waiting time, its maximum, and who parked it", () => {
  assert.equal(text(parked()), "Waiting 0:42 of 2:00, parked by Luis");
  assert.equal(text(parked({ parked_by: "ana" })), "Waiting 0:42 of 2:00, parked by you");
  assert.equal(text(parked({ parked_by: null, until: null })), "Waiting 0:42");
  assert.equal(text(parked({ since: null })), "Waiting, parked by Luis");
});

test("a call that is being picked up or returns is shown as such", () => {
  assert.equal(text(parked({ state: "picking_up" })), "Being picked up");
  assert.equal(text(parked({ state: "returning" })), "Not picked up, returning to Luis");
  assert.equal(text(parked({ state: "returning", parked_by: null })), "Not picked up, returning");
  assert.equal(parked({ state: "something new" }).state, "waiting");
});

test("the call that has waited longest comes first", () => {
  const order = inOrder([parked({ slot: 3, since: "2026-11-22T10:00:01Z" }), parked({ slot: 2 }), parked({ slot: 1 })]).map(
    ({ slot }) => slot,
  );
  assert.deepEqual(order, [1, 2, 3]);
});

test("the last twenty seconds are urgent", () => {
  assert.deepEqual(
    [at(99), at(101), at(130)].map((now) => isUrgent(parked(), now)),
    [false, true, true],
  );
  assert.equal(isUrgent(parked({ state: "returning" }), at(101)), false);
  assert.equal(isUrgent(parked({ until: null }), at(101)), false);
});

test("a parked call needs a slot and a call id", () => {
  assert.deepEqual([{}, { slot: 1 }, { call_id: "c" }, null].map(parseParked), [undefined, undefined, undefined, undefined]);
});

test("a SIP address is shown by its user part", () => {
  assert.deepEqual(
    ["sip:reception@branch.example", "+15555550142", ""].map((peer) => waiterName({ peer })),
    ["reception", "+15555550142", "Unknown caller"],
  );
});
