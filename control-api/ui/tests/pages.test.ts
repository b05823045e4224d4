import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import pages from "../pages.json" with { type: "json" };
import { PAGES } from "../src/session.js";

test("every page has a title, and a script that starts it", () => {
  for (const { name, title, script } of pages) {
    assert.equal(title === "", name === "index", name);
    assert.match(readFileSync(`src/${script}`, "utf8"), /\nstart\(\w+\);\n$/, script);
  }
});

test("the navigation has the pages of the table in its order", () => {
  assert.deepEqual(
    PAGES.map(({ path, label }) => `${path} ${label}`),
    ["/agent Phone", "/live Live", "/calls Calls", "/settings Settings"],
  );
});
