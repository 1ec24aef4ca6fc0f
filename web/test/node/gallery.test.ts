// Visits each example of the gallery as it would be served: under a strict content security policy.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openGallery, type Gallery } from "./page.js";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

let gallery: Gallery;
let examples: string[];
let axe: string;

beforeAll(async () => {
  gallery = await openGallery();
  axe = await readFile(AXE, "utf8");
  const page = await gallery.browser.newPage();
  await page.goto(`${gallery.url}?example=none`);
  examples = (await readySignal(page)).split(" ");
  await page.close();
});

afterAll(() => gallery?.close());

async function readySignal(page: Page): Promise<string> {
  const main = page.locator("main[data-ready]");
  await main.waitFor({ state: "attached", timeout: 20_000 });
  return (await main.getAttribute("data-ready")) ?? "";
}

/** What a page did that it must not do: errors, violations of the policy, foreign requests. */
function watch(page: Page): string[] {
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(gallery.url)) faults.push(`request: ${request.url()}`);
  });
  return faults;
}

/** Shows all examples in one page. Returns what `check` found, and what the page did wrong. */
async function visit(
  options: Parameters<Gallery["browser"]["newPage"]>[0],
  query: string,
  check: (page: Page) => Promise<string[]>,
): Promise<string[]> {
  const page = await gallery.browser.newPage(options);
  const faults = watch(page);
  await page.goto(`${gallery.url}?${query}`);
  await readySignal(page);
  const shown = await page.locator("main > section").count();
  expect(shown, "examples that are shown").toBe(examples.length);
  const found = await check(page);
  await page.close();
  return [...found, ...faults];
}

/** The rules of WCAG 2.2 AA that the page breaks. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async (tags) => {
    const { axe: runner } = window as unknown as { axe: typeof import("axe-core") };
    const { violations: found } = await runner.run("main", {
      runOnly: { type: "tag", values: tags },
      resultTypes: ["violations"],
    });
    return found.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id} at ${node.target.flat().join(" ")}: ${node.failureSummary}`),
    );
  }, TAGS);
}

/** Controls that are smaller than a finger. Runs in the page. */
function smallTargets(): string[] {
  const small: string[] = [];
  const search = (root: ParentNode) => {
    for (const element of root.querySelectorAll<HTMLElement>("*")) {
      if (element.shadowRoot) search(element.shadowRoot);
      if (!element.matches("button, select, summary, input, textarea")) continue;
      // The label of a checkbox belongs to its target.
      const target = element.closest(".check, .select") ?? element;
      const { height, width } = target.getBoundingClientRect();
      if (height > 0 && (height < 44 || width < 44)) {
        small.push(`${element.outerHTML} is ${width} by ${height}`);
      }
    }
  };
  search(document);
  return small;
}

/** Examples that are wider than the window. Runs in the page. */
function wideExamples(): string[] {
  return [...document.querySelectorAll("main > section")]
    .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
    .map(({ id, scrollWidth }) => `${id} is ${scrollWidth} pixels wide`);
}

/** The names of the running animations. Runs in the page. */
function runningAnimations(): string[] {
  const roots = [...document.querySelectorAll("main *")].flatMap(
    ({ shadowRoot }) => shadowRoot ?? [],
  );
  return roots
    .flatMap((root) => root.getAnimations())
    .filter(({ playState }) => playState === "running")
    .map((animation) => (animation as CSSAnimation).animationName);
}

describe("gallery", () => {
  test("has examples of every element", () => {
    const kinds = new Set(examples.map((example) => example.split("-")[0]));
    const expected = ["card", "inbox", "form", "tasks", "handover", "sessions", "transcript"];
    expect([...kinds]).toEqual(expect.arrayContaining([...expected, "timeline", "metrics"]));
    expect(examples.length).toBeGreaterThan(60);
  });

  test("examples_pass_axe_and_have_targets_of_44_pixels", async () => {
    const found = await visit({ colorScheme: "light" }, "lang=en", async (page) => [
      ...(await violations(page)),
      ...(await page.evaluate(smallTargets)),
    ]);
    expect(found).toEqual([]);
  });

  test("examples_in_dark_colours_with_reduced_motion_pass_axe_and_do_not_move", async () => {
    const options = { colorScheme: "dark", reducedMotion: "reduce" } as const;
    const found = await visit(options, "lang=en", async (page) => [
      ...(await violations(page)),
      ...(await page.evaluate(runningAnimations)),
    ]);
    expect(found).toEqual([]);
  });

  test("axe_with_faults_in_a_shadow_root_finds_them", async () => {
    const page = await gallery.browser.newPage();
    await page.goto(`${gallery.url}?example=card-policy-reject`);
    await readySignal(page);
    await page.evaluate(() => {
      const root = document.querySelector("cks-approval-card")?.shadowRoot as ShadowRoot;
      root.querySelector("label[for=comment]")?.remove();
      (root.querySelector("#explanation") as HTMLElement).style.color = "#ddd";
    });
    const found = (await violations(page)).map((text) => text.split(" ")[0]);
    expect(new Set(found)).toEqual(new Set(["label", "color-contrast"]));
    await page.close();
  });

  test("examples_in_a_window_of_320_pixels_do_not_scroll_sideways", async () => {
    const viewport = { width: 320, height: 640 };
    const found = await visit({ viewport }, "lang=de", (page) => page.evaluate(wideExamples));
    expect(found).toEqual([]);
  });

  test("a_example_without_reduced_motion_animates", async () => {
    const page = await gallery.browser.newPage({ reducedMotion: "no-preference" });
    await page.goto(`${gallery.url}?example=card-sending`);
    await readySignal(page);
    expect(await page.evaluate(runningAnimations)).toEqual(["turn"]);
    await page.close();
  });

  test("examples_in_forced_colours_from_right_to_left_pass_axe_and_fit", async () => {
    const options = { forcedColors: "active", viewport: { width: 900, height: 700 } } as const;
    const found = await visit(options, "dir=rtl", async (page) => [
      ...(await violations(page)),
      ...(await page.evaluate(wideExamples)),
    ]);
    expect(found).toEqual([]);
  });

  test("a_status_in_forced_colours_has_a_border", async () => {
    const page = await gallery.browser.newPage({ forcedColors: "active" });
    await page.goto(`${gallery.url}?example=card-approved`);
    await readySignal(page);
    const border = await page
      .locator("cks-approval-card .notice.good")
      .evaluate((notice) => getComputedStyle(notice).borderTopStyle);
    expect(border).toBe("solid");
    await page.close();
  });

  test("the_chosen_row_and_new_rows_in_forced_colours_are_marked", async () => {
    const page = await gallery.browser.newPage({ forcedColors: "active" });
    await page.goto(`${gallery.url}?example=inbox-chosen`);
    await readySignal(page);
    const border = await page
      .locator("cks-inbox .item.selected")
      .evaluate((row) => getComputedStyle(row).borderInlineStartWidth);
    expect(border).toBe("4px");
    await page.goto(`${gallery.url}?example=inbox-arrivals`);
    await readySignal(page);
    const colours = await page
      .locator("cks-inbox .item.new .what")
      .first()
      .evaluate((text) => [
        getComputedStyle(text, "::before").backgroundColor,
        getComputedStyle(document.body).backgroundColor,
      ]);
    expect(colours[0]).not.toBe(colours[1]);
    await page.close();
  });

  test("the_layout_from_right_to_left_is_mirrored", async () => {
    const page = await gallery.browser.newPage({ viewport: { width: 900, height: 700 } });
    const isApproveFirst = async (dir: string) => {
      await page.goto(`${gallery.url}?example=card-policy&dir=${dir}`);
      await readySignal(page);
      const left = (id: string) =>
        page.locator(id).evaluate((button) => button.getBoundingClientRect().x);
      return (await left("#decide-approve")) < (await left("#decide-reject"));
    };
    expect(await isApproveFirst("ltr")).toBe(true);
    expect(await isApproveFirst("rtl")).toBe(false);
    await page.close();
  });

  test("a_violation_of_the_policy_is_noticed", async () => {
    const page = await gallery.browser.newPage();
    const faults = watch(page);
    await page.goto(`${gallery.url}?example=none`);
    await readySignal(page);
    // Markup that a script inserts is refused by Trusted Types, and so are foreign images.
    const error = await page.evaluate(() => {
      try {
        document.body.innerHTML = "<b>x</b>";
        return "";
      } catch (cause) {
        return String(cause);
      }
    });
    expect(error).toContain("TrustedHTML");
    await page.evaluate(() => {
      const image = document.createElement("img");
      image.src = "https://foreign.example/x.png";
      document.body.append(image);
    });
    await expect.poll(() => faults.join("\n")).toContain("img-src");
    await page.close();
  });
});
