// Runs on this machine, without a sandbox: npm test
import assert from "node:assert/strict";
import test from "node:test";

import { run } from "./tool.js";

const value = (code, input) => run({ code, input }).value;

test("it gives the value of the last expression", () => {
  assert.equal(value("let a = 1; a + 1"), 2);
  assert.deepEqual(value("input.map((it) => it * 2)", [1, 2]), [2, 4]);
  assert.equal(value("let b = 1;"), null);
});

test("what JSON does not have is a text", () => {
  assert.deepEqual(value("[1 / 0, 0 / 0, 2n ** 70n]"), ["Infinity", "NaN", "1180591620717411303424"]);
  assert.deepEqual(value("[new Map([[1, new Set([2])]]), undefined, new Uint8Array([3])]"), [{ 1: [2] }, null, [3]]);
  assert.deepEqual(value("({ a: undefined, b: () => 1, at: new Date(0) })"), { at: "1970-01-01T00:00:00.000Z" });
});

test("what is printed is cut", () => {
  assert.deepEqual(run({ code: "console.log('a', { b: 1 })" }), { value: null, log: ['a {"b":1}'], is_log_cut: false });
  const much = run({ code: "for (let i = 0; i < 100000; i += 1) console.log('x'.repeat(100))" });
  assert.ok(much.is_log_cut && much.log.join("").length <= 32 * 1024);
});

test("a mistake is told", () => {
  assert.throws(() => value("nothing.there"), /ReferenceError: nothing is not defined/);
  assert.throws(() => value("let = ;"), /SyntaxError/);
  assert.throws(() => value("throw { code: 7 }"), /the program threw \{"code":7\}/);
  assert.throws(() => value("const a = {}; a.a = a; a"), /stands in itself/);
  assert.throws(() => value("(async () => 1)()"), /promise/);
});
