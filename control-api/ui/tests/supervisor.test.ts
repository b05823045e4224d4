import assert from "node:assert/strict";
import { test } from "node:test";
import type { Supervises } from "../src/legs.js";
import { inCall, type Line, type Requests, Supervisor } from "../src/live/supervisor.js";

const LISTEN: Supervises = { mode: "listen", to: null };
const WHISPER: Supervises = { mode: "whisper", to: 2 };
const BARGE: Supervises = { mode: "barge", to: null };

/** A phone and a server that carry out every request and log it. */
class World {
  readonly log: string[] = [];
  refuse: Record<string, string> = {};
  rings = true;
  /** Requests that wait until `go` is called. */
  private readonly held: (() => void)[] = [];
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
      start: async (call, { mode }) => {
        await asked(`start ${call} ${mode}`);
        return 7;
      },
      change: (call, leg, { mode }) => asked(`change ${call} ${leg} ${mode}`),
      drop: (call, leg) => done(`drop ${call} ${leg}`),
    };
    this.supervisor = new Supervisor(line, requests, () => undefined);
  }

  go(): void {
    this.hold = false;
    for (const go of this.held.splice(0)) go();
  }
}

function problemText({ supervisor }: World): string {
  return supervisor.problem?.text ?? "";
}

test("a listener sends silence and is in the call once the phone is connected", async () => {
  const { supervisor, log } = new World();
  const asked = supervisor.ask("a", LISTEN);
  assert.deepEqual(
    [supervisor.state.phase, inCall(supervisor.state, "a")],
    ["joining", { wish: LISTEN, busy: true }],
    "it is shown at once",
  );
  await asked;
  assert.deepEqual(supervisor.state, { phase: "in", call: "a", leg: 7, now: LISTEN, wish: undefined });
  assert.deepEqual(log, ["open", "silence", "start a listen"]);
  assert.equal(inCall(supervisor.state, "b"), undefined);
});

test("the microphone opens before a whisper and closes for a listener", async () => {
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

test("a refused request is reverted, with the server's reason", async () => {
  const world = new World();
  const { supervisor } = world;
  world.refuse = { start: "the call does not talk yet" };
  await supervisor.ask("a", LISTEN);
  assert.deepEqual([supervisor.state.phase, supervisor.problem], ["idle", { call: "a", text: "the call does not talk yet" }]);
  world.refuse = {};
  await supervisor.ask("a", LISTEN);
  assert.equal(problemText(world), "", "the next click clears the problem");
  world.refuse = { change: "the leg is on hold" };
  await supervisor.ask("a", BARGE);
  assert.deepEqual([inCall(supervisor.state, "a"), problemText(world)], [{ wish: LISTEN, busy: false }, "the leg is on hold"]);
  assert.equal(world.log.at(-1), "silence", "the microphone does not stay open");
});

test("without a microphone no request is sent", async () => {
  const world = new World();
  world.refuse = { speak: "the microphone is blocked" };
  await world.supervisor.ask("a", BARGE);
  assert.deepEqual([world.supervisor.state.phase, problemText(world)], ["idle", "the microphone is blocked"]);
  assert.ok(!world.log.some((one) => one.startsWith("start")));
});

test("a leg that never rings here is hung up", async () => {
  const world = new World();
  world.rings = false;
  await world.supervisor.ask("a", LISTEN);
  assert.deepEqual([world.supervisor.state.phase, problemText(world)], ["idle", "a did not ring"]);
  assert.ok(world.log.includes("drop a 7"));
});

test("a supervisor who leaves while joining does not join afterwards", async () => {
  const world = new World();
  world.hold = true;
  const asked = world.supervisor.ask("a", LISTEN);
  await new Promise(setImmediate);
  world.supervisor.leave();
  world.go();
  await asked;
  assert.equal(world.supervisor.state.phase, "idle");
  assert.deepEqual(world.log.slice(-2), ["start a listen", "drop a 7"]);
  assert.equal(problemText(world), "");
});

test("the current call is left before another one is joined", async () => {
  const { supervisor, log } = new World();
  await supervisor.ask("a", LISTEN);
  log.length = 0;
  await supervisor.ask("b", LISTEN);
  assert.deepEqual(log, ["hangup", "open", "silence", "start b listen"]);
  assert.equal(supervisor.state.phase === "in" && supervisor.state.call, "b");
});

test("of several waiting changes only the newest is sent", async () => {
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
  assert.deepEqual(
    log.filter((one) => one.startsWith("change")),
    ["change a 7 whisper", "change a 7 barge"],
  );
  assert.deepEqual(inCall(supervisor.state, "a"), { wish: BARGE, busy: false });
});

test("the end of a call ends its supervision", async () => {
  const { supervisor } = new World();
  await supervisor.ask("a", LISTEN);
  supervisor.lineEnded();
  assert.equal(supervisor.state.phase, "idle");
});
