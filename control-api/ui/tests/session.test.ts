import assert from "node:assert/strict";
import { test } from "node:test";
import { invitationToken } from "../src/login/invited.js";
import { home, may, mayHear, pagePath, pagesFor, parseSession } from "../src/session.js";

const session = (permissions: unknown, role = "viewer") =>
  parseSession({
    user: { id: "1", email: "ana@example.com", name: "", role, sip_name: "ana" },
    organization: { name: "Example" },
    ...(permissions === undefined ? {} : { permissions }),
  });

test("the permissions are exactly those that the server sends", () => {
  const viewer = session(["calls.read", 7]);
  assert.equal(may(viewer, "calls.read"), true);
  assert.equal(may(viewer, "calls.dial"), false);
  assert.equal(may(session([], "owner"), "team.write"), false);
  assert.equal(viewer.name, "ana@example.com");
});

test("a session without permissions gets them from its role", () => {
  assert.equal(may(session(undefined, "admin"), "team.write"), true);
  assert.equal(may(session(undefined, "agent"), "team.write"), false);
  assert.equal(home(session(undefined, "agent")), "/agent");
});

test("pages are shown by permission, and everybody has a start page", () => {
  assert.deepEqual(
    pagesFor(session(["calls.read"])).map(({ name }) => name),
    ["live", "calls", "settings"],
  );
  assert.deepEqual([home(session(["calls.dial"])), home(session(["calls.read"])), home(session([]))], ["/agent", "/live", "/settings"]);
});

test("a user who may hear their own or all recordings may hear recordings", () => {
  const agent = session(["recordings.read_own"]);
  assert.deepEqual([mayHear(agent), mayHear(session(["recordings.read"])), mayHear(session(["calls.read"]))], [true, true, false]);
});

test("a return link leads to these pages only", () => {
  for (const good of ["/agent", "/live#01993f2e", "/calls?q=two%20words&when=7d", "/calls/01993f2e-7b11#q=order", "/settings#caller-id"])
    assert.equal(pagePath(good), good);
  for (const bad of [
    "",
    "//evil.example",
    "https://evil.example/agent",
    "/agent/../x",
    "/login",
    "/calls/a/b",
    "javascript:alert(1)",
    "/live\\evil",
    "/agent?x=<script>",
  ]) {
    assert.equal(pagePath(bad), undefined, bad);
  }
});

test("an invitation's token moves from the query to the fragment", () => {
  assert.deepEqual(invitationToken("", "#abcdefgh12"), { token: "abcdefgh12", clean: undefined });
  assert.deepEqual(invitationToken("", "#token=abcdefgh12"), { token: "abcdefgh12", clean: undefined });
  assert.deepEqual(invitationToken("?token=abcdefgh12", ""), { token: "abcdefgh12", clean: "#abcdefgh12" });
  for (const [search, hash] of [
    ["", ""],
    ["?token=short", ""],
    ["", "#%E0%A4%A"],
    ["", "#<b>not a token</b>"],
  ] as const)
    assert.equal(invitationToken(search, hash).token, undefined, search + hash);
});
