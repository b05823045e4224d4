import assert from "node:assert/strict";
import { test } from "node:test";
import { choices, joinNames, type Names, ownLeg, parties } from "../src/agent/parties.js";
import { applyLegEvent, applyLegs, type Legs } from "../src/legs.js";

const NAMES: Names = { me: "ana", of: (peer) => ({ luis: "Luis", mei: "Mei" })[peer] };
const CUSTOMER = { leg: 1, role: "customer", state: "answered", peer: "+15555550142" };
const ANA = { leg: 2, role: "agent", state: "answered", peer: "ana" };
const LUIS = { leg: 3, role: "agent", state: "answered", peer: "luis" };

const hears = (legs: Legs, aside?: number): Record<string, string> =>
  Object.fromEntries(parties(legs, NAMES, aside).map(({ name, hears }) => [name, hears]));

test("two talking parties hear each other", () => {
  const legs = applyLegs([CUSTOMER, ANA]);
  assert.deepEqual(hears(legs), { You: "hear +15555550142", "+15555550142": "hears you" });
  assert.deepEqual(choices(parties(legs, NAMES)), { held: false, heldLegs: [], openLegs: [1], consulting: false, others: 1, ringing: [] });
});

test("a party on hold hears a tone, and its partner hears nobody", () => {
  const legs = applyLegs([{ ...CUSTOMER, held: true }, ANA]);
  assert.deepEqual(hears(legs), { You: "hear nobody: the others are on hold", "+15555550142": "hears a soft tone" });
  assert.equal(choices(parties(legs, NAMES)).held, true);
});

test("a phone that holds the call neither hears nor is heard, with the reason", () => {
  const legs = applyLegs([{ ...CUSTOMER, holds: true }, ANA]);
  assert.deepEqual(hears(legs), {
    You: "hear a soft tone: +15555550142 has put the call on hold",
    "+15555550142": "has put the call on hold",
  });
  assert.deepEqual(choices(parties(legs, NAMES)).openLegs, [1], "it can still be put on hold and transferred");
  assert.equal(hears(applyLegs([CUSTOMER, { ...ANA, holds: true }]))["+15555550142"], "hears a soft tone: you have put the call on hold");
  const three = hears(applyLegs([{ ...CUSTOMER, holds: true }, ANA, LUIS]));
  assert.deepEqual([three["You"], three["Luis"]], ["hear Luis", "hears you"]);
});

test("waiting parties hear the organization's music", () => {
  const of = (legs: Legs, aside?: number) =>
    Object.fromEntries(parties(legs, { ...NAMES, music: true }, aside).map(({ name, hears }) => [name, hears]));
  assert.equal(of(applyLegs([{ ...CUSTOMER, held: true }, ANA]))["+15555550142"], "hears music");
  assert.equal(of(applyLegs([CUSTOMER, ANA, { ...LUIS, state: "ringing" }]), 2)["+15555550142"], "hears music");
  assert.equal(of(applyLegs([CUSTOMER, { ...ANA, holds: true }]))["+15555550142"], "hears music: you have put the call on hold");
});

test("a parked party waits in a slot", () => {
  const parked = { leg: 2, slot: 71 };
  const of = (me: string) =>
    parties(applyLegs([{ ...CUSTOMER, state: "ended" }, ANA]), { ...NAMES, me, parked }).map(({ hears, state }) => [state, hears]);
  assert.deepEqual(of("ana"), [["parked", "wait in slot 71 and hear a soft tone"]]);
  assert.deepEqual(of("mei"), [["parked", "waits in slot 71 and hears a soft tone"]]);
});

test("in a consultation the waiting party hears nobody", () => {
  const legs = applyLegs([{ ...CUSTOMER, held: true }, ANA, LUIS]);
  assert.deepEqual(hears(legs), { You: "hear Luis", "+15555550142": "hears a soft tone", Luis: "hears you" });
  const { consulting, heldLegs, openLegs } = choices(parties(legs, NAMES));
  assert.deepEqual([consulting, heldLegs, openLegs], [true, [1], [3]]);
});

test("of three joined parties each hears the others who are not muted", () => {
  const legs = applyLegs([CUSTOMER, { ...ANA, muted: true }, LUIS]);
  assert.deepEqual(hears(legs), { You: "hear +15555550142 and Luis", "+15555550142": "hears Luis", Luis: "hears +15555550142" });
});

test("a muted partner is named as the reason for silence", () => {
  assert.equal(hears(applyLegs([{ ...CUSTOMER, muted: true }, ANA]))["You"], "hear nobody: +15555550142 is muted");
  assert.equal(hears(applyLegs([CUSTOMER, { ...ANA, muted: true }]))["+15555550142"], "hears nobody: you are muted");
});

test("during a transfer the transferor is out, and the other party hears ringing", () => {
  const legs = applyLegs([CUSTOMER, ANA, { ...LUIS, state: "ringing" }]);
  assert.deepEqual(hears(legs, 2), {
    You: "are out of the conversation until the transfer is done",
    "+15555550142": "hears ringing",
    Luis: "is being called",
  });
  assert.equal(hears(legs)["You"], "hear +15555550142");
  assert.deepEqual(choices(parties(legs, NAMES)).ringing, [3]);
});

test("a supervisor hears the call and is not counted as talking", () => {
  const legs = applyLegs([CUSTOMER, ANA, { leg: 4, role: "supervisor", state: "answered", peer: "mei", supervises: "listen" }]);
  assert.match(hears(legs)["Mei"] ?? "", /^hears everybody/);
  assert.equal(choices(parties(legs, NAMES)).others, 1);
  const whispers = applyLegs([CUSTOMER, ANA, { leg: 4, role: "supervisor", state: "answered", peer: "mei", supervises: { whisper: 2 } }]);
  assert.match(hears(whispers)["Mei"] ?? "", /whispers/);
});

test("events change seats, and ended legs are not shown", () => {
  let legs = applyLegs([CUSTOMER, ANA, LUIS]);
  legs = applyLegEvent(legs, "call.seat", { leg: 1, role: "customer", held: true, muted: false, supervises: null });
  legs = applyLegEvent(legs, "call.active_speaker", { leg: 3, role: "agent", active: true });
  assert.deepEqual(
    parties(legs, NAMES).map(({ state, speaking }) => [state, speaking]),
    [
      ["talking", false],
      ["held", false],
      ["talking", true],
    ],
  );
  legs = applyLegEvent(legs, "call.leg", {
    leg: 3,
    role: "agent",
    state: "ended",
    peer: "luis",
    ending: { cause: "busy", by: "far_end", sip_status: 486 },
  });
  assert.deepEqual(
    parties(legs, NAMES).map(({ leg }) => leg),
    [2, 1],
  );
  assert.deepEqual(legs.get(3)?.ending, { cause: "busy", by: "far_end", sipStatus: 486, q850: null, text: null });
});

test("the user's own leg is the newest that has not ended", () => {
  const legs = applyLegs([CUSTOMER, { ...ANA, state: "ended" }, { ...ANA, leg: 5 }]);
  assert.equal(ownLeg(legs, "ana")?.leg, 5);
  assert.equal(ownLeg(legs, "nobody"), undefined);
  assert.deepEqual(
    parties(legs, NAMES).map(({ leg }) => leg),
    [5, 1],
  );
});

test("a user who was called by a colleague has the customer's role", () => {
  const legs = applyLegs([
    { ...LUIS, leg: 1 },
    { ...ANA, leg: 2, role: "customer" },
  ]);
  assert.equal(ownLeg(legs, "ana")?.leg, 2);
  assert.deepEqual(hears(legs), { You: "hear Luis", Luis: "hears you" });
  // A customer who calls under the same name is not the user.
  assert.equal(ownLeg(applyLegs([{ ...CUSTOMER, leg: 9, peer: "ana" }, ANA]), "ana")?.leg, 2);
});

test("names are joined as in a sentence", () => {
  assert.deepEqual([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(joinNames), ["", "a", "a and b", "a, b and c"]);
});
