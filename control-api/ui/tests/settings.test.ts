import assert from "node:assert/strict";
import { test } from "node:test";
import { compact } from "../src/numbers.js";
import {
  changes,
  keyState,
  limitText,
  musicOptions,
  parseApiKey,
  parseCapabilities,
  parseInvitation,
  parseLimit,
  parseMediaSound,
  parseMember,
  parseOrganization,
  parseRule,
  parseUsage,
  personName,
  retentionWarning,
  rolesText,
  ruleText,
  scopesProblem,
  sizeText,
  soundName,
  soundProblem,
} from "../src/settings/shapes.js";
import { pageOf } from "../src/shapes.js";

test("malformed items of a list are left out", () => {
  const page = pageOf(
    { members: [{ user_id: "1", email: "a@example.com" }, null, 7, {}, { user_id: "2", name: "Bob" }], next_cursor: "x" },
    "members",
    parseMember,
  );
  assert.deepEqual(
    page.items.map(({ id, name }) => [id, name]),
    [
      ["1", "a@example.com"],
      ["2", "Bob"],
    ],
  );
  assert.equal(page.next, "x");
  for (const odd of [undefined, null, [], { members: {} }])
    assert.deepEqual(pageOf(odd, "members", parseMember), { items: [], next: null });
});

test("a key is active until it is revoked or has expired", () => {
  const now = Date.parse("2026-11-22T10:00:00Z");
  const state = (change: object) => {
    const key = parseApiKey({ id: "1", name: "CRM", ...change });
    assert.ok(key);
    return keyState(key, now);
  };
  assert.equal(state({}), "active");
  assert.equal(state({ expires_at: "2026-11-22T10:00:01Z" }), "active");
  assert.equal(state({ expires_at: "2026-11-22T10:00:00Z" }), "expired");
  assert.equal(state({ revoked_at: "2026-11-01T00:00:00Z", expires_at: "2026-11-22T10:00:01Z" }), "revoked");
});

test("an unknown state of an invitation is read as open", () => {
  assert.equal(parseInvitation({ id: "1", state: "revoked" })?.state, "revoked");
  assert.equal(parseInvitation({ id: "1", state: "lost" })?.state, "open");
  assert.equal(parseInvitation({ state: "open" }), undefined);
});

test("people are shown by name, never by an id", () => {
  assert.equal(personName({ id: "1", name: "Ana" }), "Ana");
  assert.equal(personName("01993f2e-7b11-7d4e-9c39-5b1f0a6f2a01"), "");
  assert.equal(personName("Ana"), "Ana");
  assert.equal(personName(null), "");
});

test("only capabilities that the server reports are shown", () => {
  assert.deepEqual(
    [...parseCapabilities({ record: true, amd: false, teleport: true, transfer: "yes" })],
    [
      ["record", true],
      ["amd", false],
    ],
  );
});

test("a rule reads as a sentence", () => {
  const rule = (change: object): string =>
    ruleText(
      parseRule({ id: "1", number_id: "2", number: "+34910000001", position: 1, ...change }) ?? { agent: "", campaign: "", prefix: "" },
    );
  assert.equal(rule({}), "Everybody, to any number");
  assert.equal(
    rule({ agent: "bob", campaign: "autumn", destination_prefix: "+44" }),
    "Agent bob in campaign autumn, to numbers that begin with +44",
  );
});

test("limits are shown in familiar units", () => {
  const told = (limit: number, window_s: number): string => {
    const one = parseLimit({ name: "x", limit, window_s });
    assert.ok(one);
    return limitText(one);
  };
  assert.deepEqual(
    [told(600, 60), told(20, 300), told(5, 10), told(1000, 3600)],
    ["600 a minute", "20 in 5 minutes", "5 in 10 s", "1,000 an hour"],
  );
  const none = parseLimit({ name: "x", limit: null, window_s: null });
  assert.equal(none && limitText(none), "No limit");
});

test("the roles with a permission come from the server's table", () => {
  const roles = [
    { role: "owner", permissions: ["a", "b"] },
    { role: "admin", permissions: ["a"] },
    { role: "agent", permissions: ["a"] },
  ];
  assert.deepEqual(
    ["a", "b", "c"].map((permission) => rolesText(roles, permission)),
    ["Owners, admins and agents", "Owners", ""],
  );
  assert.equal(
    rolesText(
      [
        { role: "owner", permissions: ["a"] },
        { role: "compliance", permissions: ["a"] },
      ],
      "a",
    ),
    "Owners and compliance officers",
  );
});

test("a number is sent without spaces and punctuation", () => {
  assert.deepEqual(["+44 (20) 7946-0123", " sip:a.b@example.com ", "+34.910/000 001"].map(compact), [
    "+442079460123",
    "sip:a.b@example.com",
    "+34910000001",
  ]);
});

test("an organization without retention keeps everything", () => {
  assert.deepEqual(parseOrganization({ name: "X" }), {
    name: "X",
    createdAt: null,
    limits: new Map(),
    recordingsDays: null,
    eventsDays: null,
  });
  assert.deepEqual([...parseOrganization({ limits: { calls: 5, speech: "few" } }).limits], [["calls", 5]]);
});

test("an audit entry shows changed fields only", () => {
  assert.deepEqual(changes({ role: "agent", name: "Bob" }, { role: "admin", name: "Bob" }), ["role: agent → admin"]);
  assert.deepEqual(changes(null, { name: "CRM", scopes: ["calls.read", "usage.read"] }), ["name: CRM", "scopes: calls.read, usage.read"]);
  assert.deepEqual(changes(null, { id: "1", name: "Desk", created_at: "2026-11-22T10:00:00Z" }), ["name: Desk"]);
  assert.deepEqual(changes({ label: "Desk" }, null), ["label: Desk → none"]);
  assert.deepEqual(changes("Sale", "Call back"), ["Sale → Call back"]);
  assert.deepEqual([changes(null, null), changes(undefined, undefined)], [[], []]);
});

test("usage lists the newest day first, and may be empty", () => {
  const { days, total } = parseUsage({
    days: [{ day: "2026-11-20", calls_inbound: 3 }, { day: "2026-11-21" }, {}],
    total: { call_seconds: 61 },
  });
  assert.deepEqual(
    [days.map(({ day, inbound }) => [day, inbound]), total.callSeconds],
    [
      [
        ["2026-11-21", 0],
        ["2026-11-20", 3],
      ],
      61,
    ],
  );
  assert.deepEqual(parseUsage(undefined).days, []);
});

test("a key without permissions is refused, also if none could be loaded", () => {
  assert.equal(scopesProblem(12, 1), undefined);
  assert.match(scopesProblem(12, 0) ?? "", /at least one permission/);
  assert.match(scopesProblem(0, 0) ?? "", /could not be loaded/);
});

test("a short retention needs confirmation if it deletes something", () => {
  const kept = (
    recordingsDays: number | null,
    eventsDays: number | null,
  ): { recordingsDays: number | null; eventsDays: number | null } => ({ recordingsDays, eventsDays });
  assert.match(retentionWarning(kept(null, null), kept(1, null)) ?? "", /^Every recording older than 1 day will be permanently deleted/);
  assert.match(
    retentionWarning(kept(30, 30), kept(7, 2)) ?? "",
    /^Every recording older than 7 days and every event older than 2 days will be/,
  );
  assert.equal(retentionWarning(kept(null, null), kept(30, null)), undefined, "a month is long enough to notice");
  assert.equal(retentionWarning(kept(1, null), kept(1, 90)), undefined, "nothing becomes shorter");
  assert.equal(retentionWarning(kept(1, 1), kept(3, null)), undefined, "nothing becomes shorter");
});

test("a file that the media store would refuse is not sent", () => {
  assert.equal(soundProblem({ name: "Greeting.WAV", size: 640_000 }), undefined);
  assert.equal(soundProblem(undefined), "Choose a WAV file.");
  assert.equal(soundProblem({ name: "music.mp3", size: 1 }), "Only WAV files can be added.");
  assert.equal(soundProblem({ name: "long.wav", size: 12 * 1024 * 1024 }), "This file is too large: 12.0 MB. The limit is 10.0 MB.");
  assert.deepEqual([sizeText(1), sizeText(655_360), sizeText(1_258_291)], ["1 KB", "640 KB", "1.2 MB"]);
});

test("a sound's name is suggested from its file", () => {
  assert.deepEqual(
    ["office_closed.wav", "Jingle 2.final.wav", ".wav", "x".repeat(200)].map((name) =>
      soundName(name).length > 90 ? "long" : soundName(name),
    ),
    ["office closed", "Jingle 2.final", "", "long"],
  );
});

test("a sound needs an id and a name", () => {
  assert.deepEqual(parseMediaSound({ id: "1", name: "Greeting", duration_ms: 4200, size_bytes: 67_200 }), {
    id: "1",
    name: "Greeting",
    durationMs: 4200,
    sizeBytes: 67_200,
    createdAt: null,
  });
  assert.equal(parseMediaSound({ id: "1" }), undefined);
});

test("removed music stays chosen until another sound is chosen", () => {
  const sounds = [{ id: "1", name: "Piano", durationMs: 60_000, sizeBytes: 1, createdAt: null }];
  const names = (chosen: string | null) =>
    musicOptions(sounds, chosen, (ms) => `${ms / 1000} s`).map(([name, label]) => `${name}=${label}`);
  assert.deepEqual(names(null), ["Piano=Piano (60 s)"]);
  assert.deepEqual(names("Piano"), ["Piano=Piano (60 s)"]);
  assert.deepEqual(names("Old"), ["Piano=Piano (60 s)", "Old=Old (removed)"]);
});
