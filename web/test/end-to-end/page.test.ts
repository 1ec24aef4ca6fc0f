// People work with the page of `cargo dev`: real browsers, real functions, a real database.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Stack } from "./stack.js";

const SLOW = { timeout: 30_000 };
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

let stack: Stack;
/** The screens of the clerk and of two approvers, each in a browser of its own. */
let clerk: Page;
let first: Page;
let second: Page;

beforeAll(async () => {
  stack = await Stack.start();
  clerk = await stack.open("?view=clerk");
  first = await stack.open("?view=desk");
  second = await stack.open("?view=desk&approver=second_approver");
});

afterAll(async () => {
  await stack?.stop();
});

/** Writes a message as a person does. While the agent answers, the box keeps it. */
async function say(page: Page, text: string): Promise<void> {
  const box = page.getByRole("textbox", { name: "Message" });
  await box.fill(text);
  const send = async () => {
    await box.press("Enter");
    return box.inputValue();
  };
  await expect.poll(send, SLOW).toBe("");
}

/** The clerk asks for a payment that the gate holds. */
async function ask(invoice: string, amount: string): Promise<void> {
  await say(clerk, `Pay invoice ${invoice}, ${amount} EUR, to Northwind Paper GmbH`);
  await expectText(clerk, "page-chat", "another person has to approve it");
  await expectText(clerk, "page-requests li:first-child", "Waits for an approval");
}

/** Opens the only request of an amount at a desk. */
async function openRequest(desk: Page, amount: string): Promise<void> {
  await desk.locator("cks-inbox button.open", { hasText: amount }).first().click(SLOW);
  await expectText(desk, "cks-inbox cks-approval-card", amount);
}

function button(page: Page, name: string) {
  return page.locator("cks-inbox cks-approval-card").getByRole("button", { name, exact: true });
}

async function expectText(page: Page, selector: string, text: string | RegExp): Promise<void> {
  const found = page.locator(selector, { hasText: text }).first().waitFor(SLOW);
  await found.catch(async (cause: unknown) => {
    const shown = await page.locator(selector).allInnerTexts();
    throw new Error(`${selector} shows ${JSON.stringify(shown)}, not ${String(text)}`, { cause });
  });
}

async function expectPayments(invoice: string, amounts: number[]): Promise<void> {
  await expect
    .poll(async () => (await stack.payments(invoice)).map(({ amount }) => amount), SLOW)
    .toEqual(amounts);
}

/** The rules of WCAG 2.2 AA that the page breaks. */
async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async (tags) => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const options = { runOnly: { type: "tag" as const, values: tags } };
    const { violations } = await axe.run(document, options);
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(
        ({ target, failureSummary }) => `${id} at ${target.flat().join(" ")}: ${failureSummary}`,
      ),
    );
  }, TAGS);
}

describe.sequential("page", () => {
  test("held_payment_is_decided_by_one_of_two_and_paid_once", async () => {
    // A reload would remove the mark.
    await clerk.evaluate(() => document.body.setAttribute("data-mark", "kept"));
    await ask("2041", "12,000");
    await expectPayments("2041", []);

    await openRequest(first, "12,000.00");
    await openRequest(second, "12,000.00");
    await expectText(first, "cks-approval-card", "Northwind Paper GmbH");
    await button(first, "Claim").click();
    await expectText(first, "cks-approval-card", "Claimed by you");
    await expectText(second, "cks-approval-card", "Claimed by Approver");
    await expectText(clerk, "page-requests", "Approver is looking at it");

    await Promise.all([button(first, "Approve").click(), button(second, "Approve").click()]);
    const conflict = "Another person decided first";
    const lost = (page: Page) => page.locator("cks-approval-card", { hasText: conflict }).count();
    await expect.poll(async () => (await lost(first)) + (await lost(second)), SLOW).toBe(1);
    const [winner, loser] = (await lost(first)) ? [second, first] : [first, second];
    const name = winner === first ? "Approver" : "Second approver";
    await expectText(winner, "cks-approval-card", /Approved by you/);
    await expectText(loser, "cks-approval-card", `${name} has already decided`);

    await expectText(clerk, "page-requests", `Approved by ${name}, and paid`);
    await expectText(clerk, "page-ledger", /Invoice 2041.*12,000.00/s);
    await expectText(clerk, "cks-task-list", /Pay invoice 2041.*Done/s);
    await expectPayments("2041", [12_000]);
    expect(await clerk.evaluate(() => document.body.dataset["mark"])).toBe("kept");
  });

  test("edited_payment_needs_the_second_approver", async () => {
    await ask("2043", "15,000");
    await openRequest(first, "15,000.00");
    await button(first, "Edit").click();
    const form = first.locator("cks-approval-card cks-schema-form");
    await form.getByLabel("Amount").fill("14,000.00");
    await button(first, "Send the changed call").click();
    await expectText(first, "cks-approval-card", "Another person has to approve the changed call.");
    await expectPayments("2043", []);

    await openRequest(first, "14,000.00");
    await expectText(first, "cks-approval-card", "You wrote this call");
    expect(await button(first, "Approve").count()).toBe(0);
    await openRequest(second, "14,000.00");
    await button(second, "Approve").click();
    await expectText(clerk, "page-requests", "Approved by Second approver, and paid");
    await expectPayments("2043", [14_000]);
  });

  test("fee_is_paid_after_its_requester_has_confirmed_the_card", async () => {
    await say(clerk, "Pay the late fee of invoice 2047, 15 EUR");
    const card = clerk.locator("page-card", { hasText: "Confirmation of a call" });
    await expectText(clerk, "page-card", /Confirmation of a call.*15.00 EUR.*Who decides/s);
    await expectText(clerk, "page-chat", "Please confirm the fee on its card");
    expect(await violationsOf(clerk)).toEqual([]);
    await expectPayments("2047", []);
    await card.getByRole("button", { name: "Confirm" }).click();
    await expectPayments("2047", [15]);
    await card.locator("header", { hasText: "Done" }).waitFor(SLOW);
    // The model hears of it, and says so.
    await expectText(clerk, "page-chat .agent", "Invoice 2047 is paid.");
    expect(await card.getByRole("button").count()).toBe(0);
  });

  test("conversation_continues_in_a_second_browser", async () => {
    const phone = await stack.open("?view=clerk", { viewport: { width: 390, height: 800 } });
    await phone.getByRole("button", { name: "Conversations" }).click();
    await phone.getByRole("button", { name: /^Continue here/ }).click();
    await expectText(phone, "page-chat", "Pay invoice 2041");
    await say(phone, "Pay invoice 2044, 480 EUR, to Northwind Paper GmbH");
    await expectText(phone, "page-chat", "Invoice 2044 is paid.");
    await expectText(clerk, "page-chat", "Invoice 2044 is paid.");
    await expectPayments("2044", [480]);
    await phone.context().close();
  });

  test("message_that_is_sent_without_a_network_arrives_once", async () => {
    await clerk.context().setOffline(true);
    await say(clerk, "Pay invoice 2045, 90 EUR, to Northwind Paper GmbH");
    await expectText(clerk, "page-chat", "You are offline");
    await clerk.context().setOffline(false);
    await expectText(clerk, "page-chat", "Invoice 2045 is paid.");
    await expectPayments("2045", [90]);
    const sent = clerk.locator("page-chat .user", { hasText: "invoice 2045" });
    expect(await sent.count()).toBe(1);
  });

  test("decision_without_a_response_is_repeated_and_counts_once", async () => {
    await ask("2046", "20,000");
    await openRequest(second, "20,000.00");
    // The decision arrives, and its response does not.
    await second.route("**/decision", async (route) => {
      await route.fetch();
      await route.abort("connectionreset");
    });
    await button(second, "Approve").click();
    await expectText(second, "cks-approval-card", /Approved by you|Not known yet/);
    await second.unroute("**/decision");
    const repeat = button(second, "Send it again");
    if ((await repeat.count()) > 0) await repeat.click();
    await expectText(second, "cks-approval-card", "Approved by you");
    await expectPayments("2046", [20_000]);
  });

  test("answer_of_a_killed_function_is_completed", async () => {
    await say(clerk, "Explain how a payment is approved");
    await expectText(clerk, "page-chat .agent", "Here is how a payment moves");
    await clerk.getByRole("button", { name: "Kill the process" }).click();
    await expectText(clerk, "page-chat", "It is taken up again");
    await expectText(clerk, "page-chat .agent", "what the agent has really paid.");
    const sent = clerk.locator("page-chat .user", { hasText: "Explain how" });
    expect(await sent.count()).toBe(1);
  });

  test("conversation_moves_to_an_agent_at_openai_and_back", async () => {
    const page = await stack.open("?view=clerk");
    await say(page, "Pay invoice 2048, 70 EUR, to Northwind Paper GmbH");
    await expectText(page, "page-chat", "Invoice 2048 is paid.");
    const handOver = async (name: string) => {
      const form = page.locator("cks-handover-banner details");
      if ((await form.getAttribute("open")) === null) await form.locator("summary").click();
      await form.getByRole("combobox").selectOption({ label: name });
      await form.getByRole("button").click();
    };
    await handOver("Tax compliance");
    await expectText(page, "page-hosted", /Tax compliance has taken over.*cksess_/s);
    expect(await violationsOf(page)).toEqual([]);
    await handOver("Accounts payable");
    await expectText(page, "page-chat", "Invoice 2048 is paid.");
    await say(page, "Pay invoice 2049, 80 EUR, to Northwind Paper GmbH");
    await expectText(page, "page-chat", "Invoice 2049 is paid.");
    await page.context().close();
  });

  test("views_pass_axe_in_light_and_dark_colours_and_fit_320_pixels", async () => {
    const session = new URL(clerk.url()).searchParams.get("session") ?? "";
    for (const view of ["both", "clerk", "desk", "operator"]) {
      const page = await stack.open(`?view=${view}&session=${session}`);
      await page.locator("page-ledger li").first().waitFor(SLOW);
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        expect(await violationsOf(page), `${view} in ${colorScheme} colours`).toEqual([]);
      }
      await page.setViewportSize({ width: 320, height: 640 });
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width, `width of ${view}`).toBeLessThanOrEqual(320);
      await page.context().close();
    }
  });

  test("pages_ask_no_foreign_host_and_break_no_policy", async () => {
    expect(stack.faults).toEqual([]);
    expect(await stack.violations()).toBe(0);
    // The observation itself works.
    const page = await stack.open("?view=operator");
    await page.evaluate(() => {
      const image = document.createElement("img");
      image.src = "https://foreign.example/x.png";
      document.body.append(image);
    });
    await expect.poll(() => stack.violations()).toBe(1);
    await expect.poll(() => stack.faults.join()).toContain("policy:");
  });
});
