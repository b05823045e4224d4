import assert from "node:assert/strict";
import { test } from "node:test";
import { BUDGET_MS } from "../src/lag.js";
import { CLAUSES_SHOWN, clauseTotals, currentText, HEIGHT, height, isOverBudget, points, trendText, WIDTH } from "../src/live/trend.js";
import { applyEvent, NO_SENTENCES, parseTranslation, type Sentences } from "../src/translations.js";

/** Returns sentences whose clauses have these totals, by clause. */
function said(...sentences: Record<number, number | null>[]): Sentences {
  return sentences.reduce<Sentences>((all, totals, index) => {
    const clauses = Object.entries(totals).map(([clause, total]) => ({ clause: Number(clause), text: "a", lag_ms: { total } }));
    const event = parseTranslation({ segment: index + 1, text: "a", clauses });
    assert.ok(event);
    return applyEvent(all, event, index + 1);
  }, NO_SENTENCES);
}

test("the lag of the newest clauses is taken in the order of the clauses, also when both sides speak at once", () => {
  assert.deepEqual(clauseTotals(said({ 0: 100, 2: 300, 3: null, 5: 500 }, { 1: 200, 4: 400 })), [100, 200, 300, 400, 500]);
  assert.deepEqual(clauseTotals(said({})), []);
  const many = Array.from({ length: 50 }, (_, at) => at);
  assert.deepEqual(clauseTotals(said(many)), many.slice(50 - CLAUSES_SHOWN));
});

test("the newest clause is at the right edge, and each new one moves the line to the left by one place", () => {
  const [before, after] = [points([1000, 2000], BUDGET_MS), points([1000, 2000, 1500], BUDGET_MS)];
  assert.equal(before.at(-1)?.x, after.at(-1)?.x);
  assert.equal(after[1]?.x, before[0]?.x);
  const full = points(
    Array.from({ length: CLAUSES_SHOWN }, () => 1000),
    BUDGET_MS,
  );
  assert.ok(full.every(({ x, y }) => x > 0 && x < WIDTH && y > 0 && y < HEIGHT));
});

test("a clause is above the line of the budget only if it exceeds it", () => {
  const limit = height(BUDGET_MS, BUDGET_MS);
  const [below, at, above, far] = points([2900, 3000, 3100, 60_000], BUDGET_MS);
  assert.ok(below && at && above && far);
  assert.ok(below.y > limit && at.y === limit && above.y < limit && far.y > 0);
  assert.deepEqual(
    [below, at, above].map(({ isOver }) => isOver),
    [false, false, true],
  );
});

test("the current value and the line in words", () => {
  assert.deepEqual([currentText([]), currentText([900, 1840])], ["", "1.8\u00a0s"]);
  assert.deepEqual(
    [isOverBudget([], BUDGET_MS), isOverBudget([3400, 1200], BUDGET_MS), isOverBudget([1200, 3400], BUDGET_MS)],
    [false, false, true],
  );
  const text = (totals: number[]): string => trendText(totals, BUDGET_MS).replaceAll("\u00a0", " ");
  assert.equal(text([3400, 1200]), "Lag of the last 2 clauses: 1.2 s now, at most 3.4 s, 1 over the budget of 3.0 s");
  assert.equal(text([1200]), "Lag of the only clause: 1.2 s now, none over the budget of 3.0 s");
});
