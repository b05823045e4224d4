import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { ALERT, CALM, Pulse } from "../src/agent/pulse.js";

/** A pulse under mocked time, and what it did. */
function beating(): { pulse: Pulse; did: string[]; pass: (ms: number) => void; end: () => void } {
  mock.timers.enable({ apis: ["setTimeout"] });
  const did: string[] = [];
  const pulse = new Pulse(() => did.push("ask"), () => did.push("dead"));
  return { pulse, did, pass: (ms) => mock.timers.tick(ms), end: () => mock.timers.reset() };
}

test("a connection that answers is asked again and again", () => {
  const { pulse, did, pass, end } = beating();
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

test("one that does not answer is dead after the patience, once, however often it was asked", () => {
  const { pulse, did, pass, end } = beating();
  pulse.start();
  pulse.beat({ every: 300, patience: 1_000 });
  pass(999);
  assert.ok(!did.includes("dead"));
  pass(1);
  assert.deepEqual(did.filter((what) => what === "dead"), ["dead"]);
  pass(60_000);
  assert.equal(did.at(-1), "dead", "nothing is asked of the dead");
  end();
});

test("a call makes it impatient at once, and who asked hears that the connection lives", () => {
  const { pulse, did, pass, end } = beating();
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

test("one that was stopped asks nothing and dies of nothing", () => {
  const { pulse, did, pass, end } = beating();
  pulse.beat(ALERT);
  pulse.start();
  pass(ALERT.every);
  pulse.stop();
  pass(60_000);
  assert.deepEqual(did, ["ask"]);
  end();
});
