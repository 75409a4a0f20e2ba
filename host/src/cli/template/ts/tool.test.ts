// Runs on this machine, without a sandbox: npm test
import assert from "node:assert/strict";
import test from "node:test";

import { run, tools } from "./tool.ts";

test("it writes capital letters", () => {
  assert.deepEqual(run({ text: "hello" }), { text: "HELLO" });
});

test("it wants a text", () => {
  assert.throws(() => run({ text: "" }), /empty/);
});

test("the host calls it by its name", () => {
  assert.equal(tools.listTools()[0].name, "my_tool");
  assert.equal(tools.call("my_tool", '{"text":"hello"}'), '{"text":"HELLO"}');
});
