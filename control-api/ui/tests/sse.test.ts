import assert from "node:assert/strict";
import { test } from "node:test";
import { ResumeGate, retryDelay, SseParser } from "../src/sse.js";

test("messages are the same however the text is split", () => {
  const text =
    '\uFEFFretry: 250\r\n: hello\r\nid: 7\r\nevent: final\r\ndata: {"a":1}\r\ndata: more\r\n\r\ndata\n\nid:8\rdata:x\r\rdata: cut';
  const whole = new SseParser().push(text);
  assert.deepEqual(whole, [
    { event: "final", data: '{"a":1}\nmore', id: "7" },
    { event: "message", data: "", id: "" },
    { event: "message", data: "x", id: "8" },
  ]);
  for (let size = 1; size < 9; size += 1) {
    const parser = new SseParser();
    const found: ReturnType<SseParser["push"]> = [];
    for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(found, whole, `in pieces of ${size}`);
    assert.equal(parser.retry, 250);
  }
});

test("a comment or an id alone dispatches nothing", () => {
  assert.deepEqual(new SseParser().push(": keep alive\n\nid: 3\n\n"), []);
});

test("a resumed stream admits no message twice", () => {
  const gate = new ResumeGate();
  const of = (id: string) => gate.admit({ event: "call", data: "{}", id });
  assert.deepEqual(["9", "10", "10", "8", "", "11", "2"].map(of), [true, true, false, false, true, true, false]);
  assert.equal(gate.lastId, "11");
});

test("retry pauses grow to fifteen seconds and have jitter", () => {
  assert.equal(retryDelay(0, 0.5), 500);
  assert.equal(retryDelay(3, 0.5), 4000);
  assert.equal(retryDelay(50, 0.5), 15_000);
  assert.ok(retryDelay(2, 0) < retryDelay(2, 1));
});
