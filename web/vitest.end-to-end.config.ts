import { defineConfig } from "vitest/config";

/** The page of `cargo dev` against the local stack. It needs the program `dev`, built by Cargo. */
export default defineConfig({
  test: {
    name: "end-to-end",
    include: ["test/end-to-end/**/*.test.ts"],
    environment: "node",
    // The steps of a file share a stack and happen one after another.
    bail: 1,
    testTimeout: 60_000,
    // Includes the build of the page, which may download its packages.
    hookTimeout: 240_000,
  },
});
