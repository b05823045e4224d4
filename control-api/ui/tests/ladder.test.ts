import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ladder, type LadderStep, lanes, parseLadder, rungs } from "../src/ladder.js";

const step = (number: number, leg: number, sent: boolean, label: string, change: Partial<LadderStep> = {}): LadderStep => ({
  number,
  after_ms: number * 10,
  leg,
  sent,
  label,
  body: "",
  again: false,
  address: leg === 7 ? "udp 192.0.2.7:5060" : "wss 192.0.2.9:52010",
  cut: false,
  ...change,
});

const LADDER: Ladder = {
  began_at: "2026-01-02T03:04:05Z",
  running: true,
  dropped: 0,
  parties: [
    { leg: 7, role: "customer", peer: "+15555550142", address: "udp 192.0.2.7:5060" },
    { leg: 8, role: "agent", peer: "anna", address: "wss 192.0.2.9:52010" },
  ],
  steps: [
    step(1, 7, false, "INVITE", { body: "SDP" }),
    step(2, 7, true, "100 Trying"),
    step(3, 8, true, "INVITE", { body: "SDP", again: true }),
    step(4, 8, false, "407 Proxy Authentication Required"),
    step(5, 8, false, "200 OK (BYE)", { address: "wss 192.0.2.10:52011" }),
    step(6, 7, true, "503"),
  ],
};

test("the first party is left of Tandem, the others right of it", () => {
  assert.deepEqual(
    lanes(LADDER).map((lane) => lane.title),
    ["Customer", "Tandem", "Agent"],
  );
  assert.deepEqual(
    lanes({ ...LADDER, parties: LADDER.parties.slice(0, 1) }).map((lane) => lane.title),
    ["Customer", "Tandem"],
  );
  assert.deepEqual(
    rungs(LADDER).map(({ from, to }) => [from, to]),
    [
      [0, 1],
      [1, 0],
      [1, 2],
      [2, 1],
      [2, 1],
      [1, 0],
    ],
  );
});

test("an arrow shows its kind, a retransmission, and an unusual address", () => {
  const drawn = rungs(LADDER);
  assert.deepEqual(
    drawn.map((rung) => rung.tone),
    ["request", "progress", "request", "challenge", "success", "failure"],
  );
  assert.deepEqual(
    drawn.map((rung) => rung.notes),
    [["SDP"], [], ["SDP", "again"], [], ["wss 192.0.2.10:52011"], []],
  );
  assert.equal(drawn[2]?.spoken, "0.030 s, Tandem to Agent: INVITE, SDP, again");
  assert.equal(drawn[3]?.spoken, "0.040 s, Agent to Tandem: 407 Proxy Authentication Required");
});

test("a malformed ladder is rejected", () => {
  for (const value of [undefined, null, 3, {}, { parties: [] }, { parties: 1, steps: 2 }]) assert.equal(parseLadder(value), undefined);
  assert.equal(parseLadder({ parties: [], steps: [] })?.running, false);
});
