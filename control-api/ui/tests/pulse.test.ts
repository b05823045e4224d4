import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { ALERT, CALM, Pulse } from "../src/agent/pulse.js";

/** Returns a pulse under mocked time with a log of its calls. */
function mockPulse(): { pulse: Pulse; did: string[]; pass: (ms: number) => void; end: () => void } {
  mock.timers.enable({ apis: ["setTimeout"] });
  const did: string[] = [];
  const pulse = new Pulse(
    () => did.push("ask"),
    () => did.push("dead"),
  );
  return { pulse, did, pass: (ms) => mock.timers.tick(ms), end: () => mock.timers.reset() };
}

test("a connection that answers is probed regularly", () => {
  const { pulse, did, pass, end } = mockPulse();
  pulse.start();
  for (let n = 1; n <= 5; n++) {
    pass(CALM.every);
    assert.equal(did.length, n);
    pulse.dataArrived();
    pass(CALM.patience);
  }
  assert.ok(!did.includes("dead"));
  end();
});

test("a connection that does not answer is reported dead once", () => {
  const { pulse, did, pass, end } = mockPulse();
  pulse.start();
  pulse.beat({ every: 300, patience: 1_000 });
  pass(999);
  assert.ok(!did.includes("dead"));
  pass(1);
  assert.deepEqual(
    did.filter((what) => what === "dead"),
    ["dead"],
  );
  pass(60_000);
  assert.equal(did.at(-1), "dead", "a dead connection is not probed");
  end();
});

test("a call shortens the patience, and the first answer is reported", () => {
  const { pulse, did, pass, end } = mockPulse();
  pulse.start();
  pass(CALM.every);
  let alive = 0;
  pulse.beat(ALERT, () => alive++);
  pass(ALERT.patience - 1);
  assert.equal(alive, 0);
  pulse.dataArrived();
  pulse.dataArrived();
  assert.equal(alive, 1);
  assert.ok(!did.includes("dead"));
  end();
});

test("a stopped pulse neither probes nor reports", () => {
  const { pulse, did, pass, end } = mockPulse();
  pulse.beat(ALERT);
  pulse.start();
  pass(ALERT.every);
  pulse.stop();
  pass(60_000);
  assert.deepEqual(did, ["ask"]);
  end();
});
