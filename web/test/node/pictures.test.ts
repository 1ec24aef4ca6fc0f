// Takes pictures of the gallery as it is with the settings of different readers:
// `PICTURES=1 PICTURES_FOLDER=/tmp/pictures npm run test:browser -- pictures`.

import { mkdirSync } from "node:fs";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openGallery, type Gallery } from "./page.js";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
const { PICTURES, PICTURES_FOLDER = "" } = process.env;

describe.runIf(PICTURES && PICTURES_FOLDER)("pictures of the gallery", () => {
  let gallery: Gallery;

  beforeAll(async () => {
    // They are for reviews, and not for the documentation.
    const isOutside = relative(REPOSITORY, resolve(PICTURES_FOLDER)).startsWith("..");
    expect(isOutside, "PICTURES_FOLDER is outside the repository").toBe(true);
    mkdirSync(PICTURES_FOLDER, { recursive: true });
    gallery = await openGallery();
  });

  afterAll(() => gallery?.close());

  const desktop = { width: 1200, height: 900 };

  test.each([
    [
      "forced-colours",
      "inbox-chosen",
      { forcedColors: "active", viewport: desktop },
      "",
      "(forced-colors: active)",
    ],
    [
      "320-pixels",
      "card-policy-reject",
      { viewport: { width: 320, height: 900 } },
      "",
      "(width: 320px)",
    ],
    [
      "reduced-motion",
      "card-sending",
      { reducedMotion: "reduce", viewport: desktop },
      "",
      "(prefers-reduced-motion)",
    ],
    ["right-to-left", "inbox-chosen", { viewport: desktop }, "&dir=rtl", "all"],
  ] as const)("with_%s", async (name, example, options, query, condition) => {
    const page = await gallery.browser.newPage(options);
    await page.goto(`${gallery.url}?example=${example}${query}`);
    await page.locator("main[data-ready]").waitFor();
    expect(await page.evaluate((media) => matchMedia(media).matches, condition)).toBe(true);
    const path = resolve(PICTURES_FOLDER, `${name}.png`);
    const picture = await page.screenshot({ path, fullPage: true });
    expect(picture.length).toBeGreaterThan(5000);
    await page.close();
  });
});
