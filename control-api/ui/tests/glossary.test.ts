import assert from "node:assert/strict";
import { test } from "node:test";
import { LineProblem, parseGlossary, readNames, readTerms, termLines } from "../src/glossary.js";

const METER = { from: "en", source: "smart meter", to: "es-419", target: "contador inteligente" };

test("a glossary is read without entries of another shape", () => {
  const told = { terms: [METER, { from: "en", source: "x" }, null], names: ["Grünwald", 7] };
  assert.deepEqual(parseGlossary(told), { terms: [METER], names: ["Grünwald"] });
  assert.deepEqual(parseGlossary(null), { terms: [], names: [] });
});

test("terms are lines and lines are terms", () => {
  assert.equal(termLines([METER]), "en: smart meter = es-419: contador inteligente");
  assert.deepEqual(readTerms("\n en:smart meter=es-419 : contador inteligente \n\n"), [METER]);
  assert.deepEqual(readTerms(termLines([METER, METER])), [METER, METER]);
  assert.deepEqual(readNames(" Grünwald \n\nTandem"), ["Grünwald", "Tandem"]);
});

test("a line that is no term is named", () => {
  for (const line of ["smart meter = contador", "en: smart meter", "en: = es: contador", "en: a = es:"])
    assert.throws(
      () => readTerms(`en: a = es: b\n${line}`),
      (error: unknown) => error instanceof LineProblem && error.message.startsWith("Line 2:"),
      line,
    );
});
