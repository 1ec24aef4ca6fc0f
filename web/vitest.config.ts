import { existsSync } from "node:fs";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

/** The browser of all tests. `CHROMIUM` names another one. */
const chromium = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
if (!existsSync(chromium)) throw new Error(`${chromium} does not exist. Set CHROMIUM.`);

export default defineConfig({
  test: {
    projects: [
      {
        optimizeDeps: {
          include: ["lit", "@cfworker/json-schema", "@lit/react", "react", "react-dom/client"],
        },
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.{ts,tsx}"],
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                executablePath: chromium,
                // Chromium's sandbox does not start for root.
                args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
              },
            }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
      {
        test: {
          name: "node",
          include: ["test/node/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 60_000,
          env: { CHROMIUM: chromium },
        },
      },
    ],
  },
});
