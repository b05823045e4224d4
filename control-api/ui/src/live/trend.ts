/**
 * The lag of the newest clauses of a call as a line against the budget.
 *
 *   sentences ─▶ clauseTotals ─▶ line (in a box of 160 × 30, the newest clause at the right edge) ─▶ trendview
 */
import { secondsText } from "../lag.js";
import type { Sentences } from "../translations.js";

/** Number of clauses that are shown. */
export const CLAUSES_SHOWN = 40;

/** Size of the box that the line is drawn in. */
export const WIDTH = 160;
export const HEIGHT = 30;

/** Space around the line, so that its ends and points are not cut off. */
const MARGIN = 3;

/** Lag at the top of the box, in budgets; what is later is drawn there. */
const TOP = 1.5;

export interface Point {
  x: number;
  y: number;
  isOver: boolean;
}

/** Returns the total lag of the newest clauses, oldest first, as far as it is known. */
export function clauseTotals(sentences: Sentences): number[] {
  const clauses = [...sentences.values()].flatMap((sentence) => sentence.clauses).sort((a, b) => a.clause - b.clause);
  return clauses.flatMap(({ lag }) => lag.total ?? []).slice(-CLAUSES_SHOWN);
}

/** Returns the points of the line. It moves to the left by one place with each clause. */
export function points(totals: readonly number[], budget: number): Point[] {
  const step = (WIDTH - 2 * MARGIN) / (CLAUSES_SHOWN - 1);
  return totals.map((total, index) => ({
    x: WIDTH - MARGIN - (totals.length - 1 - index) * step,
    y: height(total, budget),
    isOver: total > budget,
  }));
}

/** Returns the place of a lag in the box, from its top. */
export function height(ms: number, budget: number): number {
  return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * Math.min(1, ms / (TOP * budget));
}

/** Returns the current lag as text; "" without clauses. */
export function currentText(totals: readonly number[]): string {
  const current = totals.at(-1);
  return current === undefined ? "" : secondsText(current);
}

/** Whether the newest clause was heard too late. */
export function isOverBudget(totals: readonly number[], budget: number): boolean {
  return (totals.at(-1) ?? 0) > budget;
}

/** Returns the line in words. */
export function trendText(totals: readonly number[], budget: number): string {
  const over = totals.filter((total) => total > budget).length;
  const clauses = totals.length === 1 ? "Lag of the only clause" : `Lag of the last ${totals.length} clauses`;
  return [
    `${clauses}: ${currentText(totals)} now`,
    totals.length === 1 ? "" : `at most ${secondsText(Math.max(...totals))}`,
    `${over === 0 ? "none" : over} over the budget of ${secondsText(budget)}`,
  ]
    .filter(Boolean)
    .join(", ");
}
