#!/usr/bin/env node
// Runs the binary of the package for this platform, which npm installs beside this one.
"use strict";
const { spawn } = require("node:child_process");

const name = `wasm-agent-host-${process.platform}-${process.arch}`;
let binary;
try {
  binary = require.resolve(`${name}/host`);
} catch {
  console.error(`error: there is no package ${name}\n  install without --omit=optional; if your platform has no package, build host from its source`);
  process.exit(1);
}
const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
// A terminal sends Ctrl-C to both processes; the other signals come to this one alone.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`error: cannot start ${binary}: ${error.message}`);
  process.exitCode = 1;
});
child.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
