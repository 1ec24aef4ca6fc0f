// Runs all checks. The first one that fails ends the run.

import { spawnSync } from "node:child_process";

const CHECKS = [
  "check:api",
  "check:format",
  "check:types",
  "check:lint",
  "build",
  "check:size",
  "check:package",
  "test:browser",
];

const start = Date.now();
for (const check of CHECKS) {
  const seconds = Math.round((Date.now() - start) / 1000);
  console.log(`\n== ${check} (after ${seconds}s)`);
  const { status } = spawnSync("npm", ["run", "--silent", check], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
