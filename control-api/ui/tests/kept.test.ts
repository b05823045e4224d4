import assert from "node:assert/strict";
import { test } from "node:test";
import { dialogOf, forget, keep, recall, replacing, type Store } from "../src/agent/kept.js";

function memory(): Store & { held: Map<string, string> } {
  const held = new Map<string, string>();
  return {
    held,
    getItem: (key) => held.get(key) ?? null,
    setItem: (key, value) => void held.set(key, value),
    removeItem: (key) => void held.delete(key),
  };
}

const message = { call_id: "c1@x", from_tag: "f", to_tag: "t" };

test("a stored call is recalled once, with the server's view of the dialog", () => {
  const store = memory();
  keep(store, { ...dialogOf(message, true), peer: "+34", since: 5 });
  const kept = recall(store);
  assert.ok(kept);
  assert.deepEqual(replacing(kept), ["Require: replaces", "Replaces: c1@x;to-tag=t;from-tag=f"]);
  assert.equal(recall(store), undefined);
  assert.deepEqual(dialogOf(message, false), { callId: "c1@x", serverTag: "f", ownTag: "t" });
});

test("a malformed stored call is removed silently", () => {
  const store = memory();
  for (const text of ["", "{", "null", "{}", '{"callId":"a\\r\\nX: y","serverTag":"t","ownTag":"o","peer":"p","since":1}']) {
    store.setItem("tandem.call", text);
    assert.equal(recall(store), undefined, text);
    assert.equal(store.held.size, 0);
  }
  keep(store, { ...dialogOf(message, true), peer: "p", since: 1 });
  forget(store);
  assert.equal(recall(store), undefined);
});
