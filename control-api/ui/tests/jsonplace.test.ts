import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonPlace, lineColumn, pathOf, syntaxFault } from "../src/settings/jsonplace.js";
import { parseNumberProgram, programDraft, programText } from "../src/settings/shapes.js";

const TEXT = `[
  {"label": "menu"},
  {"gather": {
    "prompts": [{"speak": {"text": "a \\"b\\" ] }", "language": "en"}}],
    "max_digits": 65
  }}
]`;

const at = (path: string): string | undefined => {
  const place = jsonPlace(TEXT, path);
  return place && TEXT.slice(place.from, place.to);
};

test("a path finds a field with its value, or an item", () => {
  assert.equal(at("steps[1].gather.max_digits"), '"max_digits": 65');
  assert.equal(at("program[0]"), '{"label": "menu"}');
  assert.equal(at("[0].label"), '"label": "menu"');
  assert.equal(at("steps[1].gather.prompts[0].speak.language"), '"language": "en"');
});

test("a missing value is located by the innermost value around it", () => {
  assert.equal(at("steps[0].label.x"), '"label": "menu"');
  assert.equal(at("steps[1].gather.prompts[0].speak.voice"), '"speak": {"text": "a \\"b\\" ] }", "language": "en"}');
  assert.equal(at("steps[9].gather"), undefined);
  assert.equal(at(""), undefined);
  assert.equal(jsonPlace("[1,", "steps[0]"), undefined, "what is no JSON has no places");
});

test("the first syntax error is reported with its position", () => {
  assert.equal(syntaxFault(TEXT), undefined);
  for (const good of ["1", "-0.5e3", '"x"', "[]", "{}", " [true, false, null] ", '{"a":{"b":[1,2]}}'])
    assert.equal(syntaxFault(good), undefined, good);
  const told = (text: string) => {
    const fault = syntaxFault(text);
    return fault && [fault.at, fault.message];
  };
  assert.deepEqual(told(""), [0, "Expected a value, found the end"]);
  assert.deepEqual(told("[1 2]"), [3, "Expected a comma or “]”, found “2”"]);
  assert.deepEqual(told('{"a" 1}'), [5, "Expected a colon, found “1”"]);
  assert.deepEqual(told("{a: 1}"), [1, "Expected a field name in quotation marks, found “a”"]);
  assert.deepEqual(told("[1,]"), [3, "Expected a value, found “]”"]);
  assert.deepEqual(told("[1] x"), [4, "Expected the end, found “x”"]);
  assert.deepEqual(told('["a'), [1, "This text has no closing quotation mark"]);
  assert.deepEqual(told('["\\x"]'), [1, "This text has an invalid escape sequence"]);
  assert.deepEqual(told("[".repeat(100)), [65, "Nested too deeply"]);
});

test("the parser agrees with JSON.parse on what is valid", () => {
  const pieces = ["[", "]", "{", "}", '"a"', ":", ",", "1", "-2.5", "01", "true", "nul", " ", "\n", '"\\u0041"', "1e", '"\t"'];
  let seed = 7;
  for (let n = 0; n < 20_000; n += 1) {
    const text = Array.from({ length: 1 + (n % 9) }, () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return pieces[seed % pieces.length];
    }).join("");
    let whole = true;
    try {
      JSON.parse(text);
    } catch {
      whole = false;
    }
    assert.equal(syntaxFault(text) === undefined, whole, JSON.stringify(text));
  }
});

test("an offset is converted to line and column", () => {
  assert.deepEqual(
    [0, 2, 4].map((offset) => lineColumn("a\nbc\n", offset)),
    [
      { line: 1, column: 1 },
      { line: 2, column: 1 },
      { line: 2, column: 3 },
    ],
  );
});

test("a refusal is split into its path and its text", () => {
  assert.deepEqual(pathOf("Steps[3].gather.max_digits: expected a whole number."), {
    path: "Steps[3].gather.max_digits",
    rest: "expected a whole number.",
  });
  assert.equal(pathOf("A program has at most 256 steps."), undefined);
  assert.deepEqual(pathOf("steps: expected a list."), { path: "steps", rest: "expected a list." });
});

test("a formatted program is readable and keeps its value", () => {
  const steps = [
    { label: "menu" },
    { speak: { text: "{ a } [ b ]", language: "en" } },
    { gather: { prompts: [{ speak: { text: "x".repeat(120), language: "en" } }] } },
  ];
  const text = programText(steps);
  assert.deepEqual(JSON.parse(text), steps);
  assert.match(text, /^\[\n {2}\{"label": "menu"\},\n/);
  assert.equal(programText([]), "[]");
});

test("a sent program has only the chosen source", () => {
  const texts = { steps: "[]", url: "https://x.example", fallback: "" };
  assert.deepEqual(programDraft("steps", texts), { program: [] });
  assert.deepEqual(programDraft("server", { ...texts, fallback: '[{"hangup":{}}]' }), {
    program_url: "https://x.example",
    fallback: [{ hangup: {} }],
  });
  assert.deepEqual(parseNumberProgram({ program: [1], program_url: null }), { program: [1], url: null, fallback: null });
});
