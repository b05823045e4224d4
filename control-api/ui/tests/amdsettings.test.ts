import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldMeant } from "../src/refusals.js";
import {
  type ActionKind,
  actionOf,
  amdPatch,
  type Draft,
  defaultKind,
  draftOf,
  emptyDraft,
  kindOptions,
  parseAmdSettings,
  parseTargets,
  SETTABLE,
  targetsText,
  withTarget,
} from "../src/settings/amd.js";

const ACTIONS = {
  human: { transfer: { targets: [{ agent: "ana" }, { to: "+442079460123" }], ring_s: 15 } },
  machine: {
    message: {
      message: { text: "Please call us.", language: "en" },
      beep_s: 9,
      person: { targets: [{ agent: "ana" }] },
      sentence: { text: "Sorry.", language: "en" },
    },
  },
  screening: { reply: { text: "Acme, about your order.", language: "en" } },
  ivr: { message: { media: "Callback", beep_s: 20 } },
  busy: { retry_later: {} },
  fax: { program: [{ hangup: {} }] },
};

function settings(actions: object = ACTIONS) {
  const parsed = parseAmdSettings({ mode: "balanced", limit_s: 10, actions });
  assert.ok(parsed);
  return parsed;
}

function drafts(change: Record<string, Partial<Draft>> = {}, saved = settings()): Map<string, Draft> {
  return new Map(SETTABLE.map((verdict) => [verdict, { ...draftOf(saved, verdict, "en"), ...change[verdict] }]));
}

test("a server without the detection has no settings, and missing fields have their defaults", () => {
  for (const odd of [undefined, null, 3]) assert.equal(parseAmdSettings(odd), undefined);
  assert.deepEqual(parseAmdSettings({}), { mode: "off", limitS: 10, actions: new Map() });
});

test("every action that the form offers is written as it was read", () => {
  for (const [verdict, action] of Object.entries(ACTIONS)) {
    const draft = draftOf(settings(), verdict, "es");
    if (verdict === "fax") assert.equal(draft.kind, "api");
    else assert.deepEqual(actionOf(draft), action, verdict);
  }
  assert.equal(draftOf(settings(), "sit", "en").kind, "hang_up");
  assert.equal(draftOf(settings(), "music", "en").kind, "connect");
});

test("an action with something that the form does not know is left as it is", () => {
  for (const action of [
    { message: { media: "a", beep_s: 20, repeat: 2 } },
    { transfer: { targets: [{ agent: "ana", weight: 2 }] } },
    { transfer: { targets: [{ to: "100" }, { program: [] }] } },
    { some_new_action: {} },
    {},
  ]) {
    const saved = settings({ machine: action });
    assert.equal(draftOf(saved, "machine", "en").kind, "api", JSON.stringify(action));
    assert.deepEqual(amdPatch(saved, { mode: "balanced", limitS: 10, drafts: drafts({}, saved) }), {});
  }
  assert.equal(draftOf(settings({ machine: { message: { media: "a", message: null, beep_s: 20 } } }), "machine", "en").kind, "message");
});

test("only changes are sent, and a default is restored by null", () => {
  const edited = { mode: "balanced", limitS: 10 };
  assert.deepEqual(amdPatch(settings(), { ...edited, drafts: drafts() }), {});
  const change = { busy: { kind: "hang_up" as ActionKind }, music: { kind: "hang_up" as ActionKind }, ivr: { beepS: " " } };
  assert.deepEqual(amdPatch(settings(), { mode: "fast", limitS: 5, drafts: drafts(change) }), {
    mode: "fast",
    limit_s: 5,
    actions: { busy: null, music: { hang_up: {} }, ivr: { message: { media: "Callback" } } },
  });
});

test("a message without targets and sentence has neither", () => {
  const draft = { ...emptyDraft("message", "en"), message: { text: " Please call us. ", language: " en " }, personRingS: "20" };
  assert.deepEqual(actionOf(draft), { message: { message: { text: "Please call us.", language: "en" }, beep_s: 20 } });
});

test("targets are numbers, SIP addresses and agents", () => {
  assert.deepEqual(parseTargets("ana, +44 20 7946 0123,sip:desk@example.com;\n100,"), [
    { agent: "ana" },
    { to: "+442079460123" },
    { to: "sip:desk@example.com" },
    { to: "100" },
  ]);
  assert.equal(targetsText([{ agent: "ana" }, { to: "+442079460123" }]), "ana, +442079460123");
  assert.deepEqual([withTarget("", "ana"), withTarget("luis, ", "ana")], ["ana", "luis, ana"]);
});

test("the default is marked, and a reply is offered to those who wait for one", () => {
  const labels = (verdict: string): string[] => kindOptions(verdict).map(([, label]) => label);
  assert.ok(labels("machine").includes("Hang up (default)"));
  assert.ok(labels("human").includes("Connect (default)"));
  assert.deepEqual(
    SETTABLE.filter((verdict) => kindOptions(verdict).some(([kind]) => kind === "reply")),
    ["screening", "ivr", "silence"],
  );
  assert.deepEqual(
    SETTABLE.filter((verdict) => defaultKind(verdict) === "hang_up"),
    ["machine", "fax", "sit", "busy"],
  );
});

test("a refusal is shown at the field whose path begins it", () => {
  const names = ["mode", "machine", "amd.actions.machine.message.person.targets", "amd.actions.machine.message.message.text"];
  assert.equal(fieldMeant("amd.actions.machine.message.person.targets[0].agent", names), names[2]);
  assert.equal(fieldMeant("amd.actions.machine.message.message.text", names), names[3]);
  assert.equal(fieldMeant("amd.actions.machine.program", names), "machine");
  assert.equal(fieldMeant("amd.mode", names), "mode");
});
