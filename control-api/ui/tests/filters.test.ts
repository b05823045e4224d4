import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, filterCount, NO_FILTERS, parseFilters, queryOf } from "../src/calllist/filters.js";

test("filters are unchanged after conversion to an address and back", () => {
  for (const search of [
    "",
    "?q=two+words&when=7d&agent=bob&status=ended&direction=inbound",
    "?when=between&from=2026-11-01&to=2026-11-05",
    "?number=%2B44+20&outcome=Sale",
  ]) {
    assert.equal(addressOf(parseFilters(search)), search);
  }
});

test("unknown values in an address are ignored", () => {
  assert.deepEqual(parseFilters("?status=strange&when=never&from=yesterday&direction=up&cursor=x"), NO_FILTERS);
  assert.equal(parseFilters("?from=2026-11-01").when, "between");
});

test("the server gets exact times for whole days of the user", () => {
  const now = new Date(2026, 10, 22, 15, 30);
  const of = (search: string) => {
    const query = queryOf(parseFilters(search), now);
    return [query.get("from"), query.get("to")];
  };
  const day = (date: number): string => new Date(2026, 10, date).toISOString();
  assert.deepEqual(of("?when=today"), [day(22), null]);
  assert.deepEqual(of("?when=yesterday"), [day(21), day(22)]);
  assert.deepEqual(of("?when=7d"), [day(16), null]);
  assert.deepEqual(of("?when=between&from=2026-11-01&to=2026-11-05"), [day(1), day(6)]);
  assert.deepEqual(of("?when=between&to=2026-11-05"), [null, day(6)]);
  assert.deepEqual(of(""), [null, null]);
});

test("the query has only filters that are set, and numbers without spaces", () => {
  const query = queryOf({ ...NO_FILTERS, q: "order", number: "+44 (20) 79", agent: "bob" }, new Date());
  assert.equal(query.toString(), "q=order&number=%2B442079&agent=bob");
});

test("filters are counted without the search", () => {
  assert.equal(filterCount(parseFilters("?q=x&when=between&from=2026-11-01&agent=bob")), 2);
});
