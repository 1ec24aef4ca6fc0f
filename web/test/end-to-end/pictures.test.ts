// Takes the pictures of README.md: `PICTURES=1 npm run test:end-to-end`.

import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recompress } from "./png.js";
import { Stack } from "./stack.js";

const FOLDER = fileURLToPath(new URL("../../../docs/images/", import.meta.url));

const LARGEST_BYTES = 150 * 1024;

describe.runIf(process.env["PICTURES"])("pictures", () => {
  let stack: Stack;

  beforeAll(async () => {
    stack = await Stack.start();
    mkdirSync(FOLDER, { recursive: true });
  });

  afterAll(async () => {
    await stack?.stop();
  });

  async function take(page: Page, name: string): Promise<void> {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const picture = recompress(await page.screenshot({ animations: "disabled", caret: "hide" }));
      expect(picture.length).toBeLessThan(LARGEST_BYTES);
      writeFileSync(`${FOLDER}${name}-${colorScheme}.png`, picture);
    }
  }

  test("of_a_held_payment", async () => {
    const page = await stack.open("", { viewport: { width: 1360, height: 1000 } });
    const shows = (selector: string, text: string | RegExp) =>
      page.locator(selector, { hasText: text }).first().waitFor({ timeout: 30_000 });
    const box = page.getByRole("textbox", { name: "Message" });
    for (const message of [
      "Pay invoice 2040, 480 EUR, to Northwind Paper GmbH",
      "Pay invoice 2041, 12,000 EUR, to Northwind Paper GmbH",
    ]) {
      await box.fill(message);
      await box.press("Enter");
      await shows("page-chat", message.includes("480") ? "2040 is paid" : "approve it");
      await page.locator("page-chat").getByText("The agent answers").waitFor({ state: "hidden" });
    }
    await page.locator("cks-inbox button.open").click({ timeout: 30_000 });
    await shows("cks-inbox cks-approval-card", "Northwind Paper GmbH");
    await shows("page-clerk .count", "1");
    await take(page, "held");
  });
});
