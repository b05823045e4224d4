import assert from "node:assert/strict";
import { test } from "node:test";
import type { Supervises } from "../src/legs.js";
import { inCall, Supervisor, type Line, type Requests } from "../src/live/supervisor.js";

const LISTEN: Supervises = { mode: "listen", to: null };
const WHISPER: Supervises = { mode: "whisper", to: 2 };
const BARGE: Supervises = { mode: "barge", to: null };

/** A telephone and a server that do what they are told, and write it down. */
class World {
  readonly log: string[] = [];
  refuse: Record<string, string> = {};
  rings = true;
  /** Requests that wait for `go`. */
  private held: (() => void)[] = [];
  hold = false;
  readonly supervisor: Supervisor;

  constructor() {
    const done = async (what: string): Promise<void> => {
      this.log.push(what);
      const refusal = this.refuse[what.split(" ")[0] ?? ""];
      if (refusal) throw new Error(refusal);
    };
    const asked = async (what: string): Promise<void> => {
      if (this.hold) await new Promise<void>((go) => this.held.push(go));
      await done(what);
    };
    const line: Line = {
      open: () => done("open"),
      speak: (on) => done(on ? "speak" : "silence"),
      join: (call) => (this.rings ? Promise.resolve() : Promise.reject(new Error(`${call} did not ring`))),
      hangUp: () => void this.log.push("hangup"),
    };
    const requests: Requests = {
      start: async (call, { mode }) => (await asked(`start ${call} ${mode}`), 7),
      change: (call, leg, { mode }) => asked(`change ${call} ${leg} ${mode}`),
      drop: (call, leg) => done(`drop ${call} ${leg}`),
    };
    this.supervisor = new Supervisor(line, requests, () => undefined);
  }

  go(): void {
    this.hold = false;
    this.held.splice(0).forEach((go) => go());
  }
}

function told({ supervisor }: World): string {
  return supervisor.problem?.text ?? "";
}

test("a listener sends silence and is in the call when the telephone is", async () => {
  const { supervisor, log } = new World();
  const asked = supervisor.ask("a", LISTEN);
  assert.deepEqual([supervisor.state.phase, inCall(supervisor.state, "a")], ["joining", { wish: LISTEN, busy: true }], "it is shown at once");
  await asked;
  assert.deepEqual(supervisor.state, { phase: "in", call: "a", leg: 7, now: LISTEN, wish: undefined });
  assert.deepEqual(log, ["open", "silence", "start a listen"]);
  assert.equal(inCall(supervisor.state, "b"), undefined);
});

test("a mode changes while it runs, the microphone opens before anybody is to hear it and closes for a listener", async () => {
  const { supervisor, log } = new World();
  await supervisor.ask("a", LISTEN);
  log.length = 0;
  const whispered = supervisor.ask("a", WHISPER);
  assert.deepEqual(inCall(supervisor.state, "a"), { wish: WHISPER, busy: true });
  await whispered;
  await supervisor.ask("a", LISTEN);
  assert.deepEqual(log, ["speak", "change a 7 whisper", "change a 7 listen", "silence"]);
  assert.deepEqual(inCall(supervisor.state, "a"), { wish: LISTEN, busy: false });
});

test("what the server refuses is taken back and told in its words", async () => {
  const world = new World();
  const { supervisor } = world;
  world.refuse = { start: "the call does not talk yet" };
  await supervisor.ask("a", LISTEN);
  assert.deepEqual([supervisor.state.phase, supervisor.problem], ["idle", { call: "a", text: "the call does not talk yet" }]);
  world.refuse = {};
  await supervisor.ask("a", LISTEN);
  assert.equal(told(world), "", "the next click starts afresh");
  world.refuse = { change: "the leg is on hold" };
  await supervisor.ask("a", BARGE);
  assert.deepEqual([inCall(supervisor.state, "a"), told(world)], [{ wish: LISTEN, busy: false }, "the leg is on hold"]);
  assert.equal(world.log.at(-1), "silence", "the microphone does not stay open");
});

test("without a microphone nothing is asked of the server", async () => {
  const world = new World();
  world.refuse = { speak: "the microphone is blocked" };
  await world.supervisor.ask("a", BARGE);
  assert.deepEqual([world.supervisor.state.phase, told(world)], ["idle", "the microphone is blocked"]);
  assert.ok(!world.log.some((one) => one.startsWith("start")));
});

test("a leg that never rings here is taken out of the call", async () => {
  const world = new World();
  world.rings = false;
  await world.supervisor.ask("a", LISTEN);
  assert.deepEqual([world.supervisor.state.phase, told(world)], ["idle", "a did not ring"]);
  assert.ok(world.log.includes("drop a 7"));
});

test("who leaves while joining is not joined afterwards", async () => {
  const world = new World();
  world.hold = true;
  const asked = world.supervisor.ask("a", LISTEN);
  await new Promise(setImmediate);
  world.supervisor.leave();
  world.go();
  await asked;
  assert.equal(world.supervisor.state.phase, "idle");
  assert.deepEqual(world.log.slice(-2), ["start a listen", "drop a 7"]);
  assert.equal(told(world), "");
});

test("another call is left before the next one is joined", async () => {
  const { supervisor, log } = new World();
  await supervisor.ask("a", LISTEN);
  log.length = 0;
  await supervisor.ask("b", LISTEN);
  assert.deepEqual(log, ["hangup", "open", "silence", "start b listen"]);
  assert.equal(supervisor.state.phase === "in" && supervisor.state.call, "b");
});

test("of changes that wait the newest alone is asked for", async () => {
  const world = new World();
  const { supervisor, log } = world;
  await supervisor.ask("a", LISTEN);
  log.length = 0;
  world.hold = true;
  const all = [supervisor.ask("a", WHISPER)];
  await new Promise(setImmediate);
  all.push(supervisor.ask("a", LISTEN), supervisor.ask("a", BARGE));
  world.go();
  await Promise.all(all);
  assert.deepEqual(log.filter((one) => one.startsWith("change")), ["change a 7 whisper", "change a 7 barge"]);
  assert.deepEqual(inCall(supervisor.state, "a"), { wish: BARGE, busy: false });
});

test("a call that ends leaves nobody in it", async () => {
  const { supervisor } = new World();
  await supervisor.ask("a", LISTEN);
  supervisor.lineEnded();
  assert.equal(supervisor.state.phase, "idle");
});
