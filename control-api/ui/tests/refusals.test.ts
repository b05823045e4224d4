import assert from "node:assert/strict";
import { test } from "node:test";
import { csrfToken, fieldMeant, refusal } from "../src/refusals.js";

test("a refusal is a sentence, without the field's name beside the field", () => {
  const told = refusal(422, { detail: "number: expected E.164", field: "number" }, null);
  assert.deepEqual(told, { message: "Number: expected E.164.", field: "number", plain: "Expected E.164." });
  assert.equal(refusal(409, { title: "Exists already" }, null).message, "Exists already.");
  for (const odd of [undefined, null, "text", [], { detail: 5 }]) assert.equal(refusal(502, odd, null).message, "The server answered 502.");
});

test("a rate limit says once when to try again", () => {
  assert.equal(refusal(429, { detail: "too many requests" }, "7").message, "Too many requests. Try again in 7 s.");
  assert.equal(refusal(429, { detail: "too many requests" }, "600").message, "Too many requests. Try again in 10 minutes.");
  assert.equal(refusal(429, { detail: "too many requests" }, null).message, "Too many requests. Try again in a while.");
  assert.equal(refusal(429, { detail: "try again in 3 minutes" }, "180").message, "Try again in 3 minutes.");
});

test("a field is found despite prefixes and indexes", () => {
  const names = ["record", "scopes", "email"];
  assert.deepEqual(
    ["email", "config.record", "scopes[0]", "name", undefined].map((field) => fieldMeant(field, names)),
    ["email", "record", "scopes", undefined, undefined],
  );
});

test("the CSRF token is found among other cookies", () => {
  assert.equal(csrfToken("a=b; tandem_csrf=abc=; c=d"), "abc=");
  for (const none of ["", "xtandem_csrf=1", "tandem_csrf=", "tandem_csrf"]) assert.equal(csrfToken(none), undefined, none);
});
