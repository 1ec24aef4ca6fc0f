import { describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import "../../src/approval-card.js";
import type { CksApprovalCard } from "../../src/elements/approval-card.js";
import type { DecisionIntent, Escalation } from "../../src/core/model.js";
import {
  escalation,
  exactSubject,
  HASH,
  HOSTILE,
  paymentSubject,
  QUESTION,
  smallPayment,
  USER,
} from "../../gallery/fixtures.js";
import { $, focused, mount, textOf } from "./support.js";

const show = (shown: Escalation, rest: Partial<CksApprovalCard> = {}) =>
  mount<CksApprovalCard>("cks-approval-card", { escalation: shown, ...rest });

const small = () => smallPayment("240.50", "EUR", "Blue Kite Travel");
const intents = (events: CustomEvent[]) =>
  events.filter(({ type }) => type === "cks-decide").map(({ detail }) => detail as DecisionIntent);

async function openForm(card: CksApprovalCard, mode: "edit" | "respond") {
  $(card, `#decide-${mode}`).click();
  await customElements.whenDefined("cks-schema-form");
  await card.updateComplete;
  const form = card.renderRoot.querySelector("cks-schema-form");
  if (!form) throw new Error("The form is missing.");
  await form.updateComplete;
  return form;
}

const field = (form: Element, id: string) =>
  form.shadowRoot?.querySelector(`#field-${id}`) as HTMLInputElement;

const send = (card: CksApprovalCard) => $(card, "form button[type=submit]").click();

async function comment(card: CksApprovalCard, text: string) {
  await userEvent.fill($(card, "#comment"), text);
}

describe("approval card", () => {
  test("a_decision_by_keyboard_names_the_hash_that_was_shown", async () => {
    const { element, events } = await show(small());
    element.focus();
    expect(focused()?.id).toBe("title");
    const visited: string[] = [];
    for (let i = 0; i < 10 && focused()?.id !== "decide-approve"; i++) {
      await userEvent.keyboard("{Tab}");
      visited.push(focused()?.id || focused()?.localName || "");
    }
    expect(visited.at(-1)).toBe("decide-approve");
    await userEvent.keyboard("{Enter}");
    expect(intents(events)).toEqual([
      { escalationId: element.escalation?.id, decision: "approve", subjectHash: HASH },
    ]);
  });

  test("a_double_click_sends_one_decision", async () => {
    const { element, events } = await show(small());
    await userEvent.dblClick($(element, "#decide-approve"));
    expect(intents(events)).toHaveLength(1);
    expect($<HTMLButtonElement>(element, "#decide-approve").disabled).toBe(true);
  });

  test("a_decision_of_high_risk_is_reviewed_first", async () => {
    const { element, events } = await show(escalation());
    $(element, "#decide-approve").click();
    await element.updateComplete;
    expect(intents(events)).toEqual([]);
    expect(focused()?.id).toBe("form-title");
    expect($(element, "form").innerText.replace(/\u00a0/g, " ")).toContain("EUR 12,000.00");
    expect($(element, "form").innerText).toContain(HASH.slice(0, 12));
    await userEvent.keyboard("{Escape}");
    expect(focused()?.id).toBe("decide-approve");
    $(element, "#decide-approve").click();
    await element.updateComplete;
    await userEvent.keyboard("{Control>}{Enter}{/Control}");
    expect(intents(events)).toHaveLength(1);
  });

  test("a_requester_may_only_withdraw_and_reads_why", async () => {
    const own = escalation({ mayDecide: { decisions: ["reject"], because: "own_request" } });
    const { element, events } = await show(own, { userId: USER });
    const labels = [...element.renderRoot.querySelectorAll(".actions button")];
    expect(labels.map((button) => button.textContent?.trim())).toEqual(["Withdraw request"]);
    expect(textOf(element)).toContain("This is your own request");
    $(element, "#decide-reject").click();
    await element.updateComplete;
    send(element);
    expect(intents(events)).toMatchObject([{ decision: "reject" }]);
  });

  test("a_required_comment_is_asked_for_and_sent", async () => {
    const { element, events } = await show(escalation());
    $(element, "#decide-reject").click();
    await element.updateComplete;
    await comment(element, "  ");
    send(element);
    await element.updateComplete;
    expect(intents(events)).toEqual([]);
    await expect.poll(() => focused()?.id).toBe("comment");
    expect(focused()?.getAttribute("aria-invalid")).toBe("true");
    await comment(element, "Wrong account");
    send(element);
    expect(intents(events)).toMatchObject([{ decision: "reject", comment: "Wrong account" }]);
  });

  test("an_edit_shows_its_changes_and_sends_all_inputs_with_their_types", async () => {
    const { element, events } = await show(escalation());
    const form = await openForm(element, "edit");
    await userEvent.fill(field(form, "amount"), "11,500.5");
    await element.updateComplete;
    expect(form.shadowRoot?.textContent?.replace(/\u00a0/g, " ")).toContain("EUR 11,500.50");
    expect($(element, ".differences").innerText.replace(/\s+/g, " ")).toContain(
      "12000.00 after: 11500.5",
    );
    await comment(element, "Discount");
    send(element);
    const { inputs } = paymentSubject();
    expect(intents(events)).toMatchObject([
      { decision: "edit", comment: "Discount", answer: { ...inputs, amount: "11500.5" } },
    ]);
  });

  test("an_edit_without_a_change_is_not_sent", async () => {
    const { element, events } = await show(escalation());
    await openForm(element, "edit");
    await comment(element, "Nothing");
    send(element);
    expect(intents(events)).toEqual([]);
  });

  test("an_answer_is_checked_before_it_is_sent", async () => {
    const { element, events } = await show(QUESTION());
    const form = await openForm(element, "respond");
    send(element);
    await form.updateComplete;
    expect(intents(events)).toEqual([]);
    expect(form.shadowRoot?.querySelectorAll("[aria-invalid=true]")).toHaveLength(4);
    await userEvent.fill(field(form, "account"), "NL91ABNA0417164300");
    await userEvent.fill(field(form, "amount"), "1,234.50");
    await userEvent.selectOptions(field(form, "currency"), "EUR");
    await userEvent.fill(field(form, "dueDate"), "2026-11-30");
    await userEvent.fill(field(form, "tags"), '["a"]');
    send(element);
    expect(intents(events)).toMatchObject([
      {
        decision: "respond",
        answer: {
          account: "NL91ABNA0417164300",
          amount: 1234.5,
          currency: "EUR",
          dueDate: "2026-11-30",
          tags: ["a"],
        },
      },
    ]);
  });

  test("a_rejected_form_can_be_corrected", async () => {
    const { element, events } = await show(QUESTION());
    const form = await openForm(element, "respond");
    for (const [id, text] of [
      ["account", "NL91"],
      ["amount", "5"],
      ["dueDate", "2026-11-30"],
    ] as const) {
      await userEvent.fill(field(form, id), text);
    }
    await userEvent.selectOptions(field(form, "currency"), "EUR");
    send(element);
    const [intent] = intents(events) as [DecisionIntent];
    element.progress = { state: "sending", intent };
    await element.updateComplete;
    expect(getComputedStyle($(element, "form")).visibility).toBe("visible");
    expect($(element, "form").offsetHeight).toBe(0);
    const errors = [{ pointer: "/answer/account", detail: "is not the supplier's" }];
    element.progress = { state: "refused", intent, problem: { code: "invalid_answer", errors } };
    await element.updateComplete;
    await form.updateComplete;
    expect(field(form, "account").value).toBe("NL91");
    expect(form.shadowRoot?.querySelector("#field-account-error")?.textContent).toContain(
      "is not the supplier's",
    );
    expect(element.mayDecide("respond")).toBe(true);
  });

  test("after_a_click_buttons_return_only_with_an_answer", async () => {
    const { element, events } = await show(small());
    $(element, "#decide-approve").click();
    const [intent] = intents(events) as [DecisionIntent];
    for (const state of ["sending", "unknown"] as const) {
      element.progress = { state, intent };
      await element.updateComplete;
      expect($(element, "#decide-approve").offsetHeight).toBe(0);
    }
    expect(textOf(element)).toContain("Not known yet");
    $(element, "#repeat").click();
    expect(intents(events)).toEqual([intent, intent]);
    element.progress = { state: "refused", intent, problem: { code: "policy_forbids" } };
    await element.updateComplete;
    expect($(element, "#decide-approve").offsetHeight).toBeGreaterThan(0);
    expect($(element, "[role=alert]").innerText).toContain("policy");
  });

  test("a_conflict_names_the_winner", async () => {
    const winner = {
      decision: "reject",
      decidedBy: USER,
      decidedByName: "treasurer@example.com",
      decidedAt: "2026-11-22T10:19:10.000000Z",
    } as const;
    const { element } = await show(escalation(), { progress: { state: "conflict", winner } });
    expect(textOf(element)).toContain(
      "treasurer@example.com has already decided: Rejected, on Nov 22, 2026, 11:19 AM GMT+1",
    );
    expect(element.mayDecide("approve")).toBe(false);
  });

  test("a_new_subject_closes_the_form_and_marks_the_differences", async () => {
    const first = escalation();
    const { element, events } = await show(first);
    $(element, "#decide-approve").click();
    await element.updateComplete;
    const subject = paymentSubject({ amount: "99000.00" });
    element.escalation = { ...first, subject, subjectHash: HASH.replace("9f", "11") };
    await element.updateComplete;
    expect(element.renderRoot.querySelector("form")).toBeNull();
    expect($(element, ".differences").innerText).toContain("99000.00");
    $(element, "#decide-approve").click();
    await element.updateComplete;
    send(element);
    expect(intents(events)).toMatchObject([{ subjectHash: HASH.replace("9f", "11") }]);
  });

  test("amounts_are_exact_in_every_language", async () => {
    const { element } = await show(escalation({ subject: exactSubject() }), { locale: "de-DE" });
    expect($(element, ".hero dd").innerText.replace(/\u00a0/g, " ")).toBe(
      "12.345.678.901.234.567,89 EUR",
    );
  });

  test("an_amount_without_a_currency_says_so_and_a_minus_is_a_word", async () => {
    const subject = paymentSubject({ amount: "-5", currency: undefined });
    const { element } = await show(escalation({ subject }));
    expect($(element, ".hero dd").textContent).toContain("no currency stated");
    expect($(element, ".hero .hidden-text").textContent).toContain("minus");
  });

  test("everything_of_the_subject_is_behind_the_disclosure", async () => {
    const shown = escalation();
    const { element } = await show(shown);
    const tree = $(element, "details.everything").textContent ?? "";
    for (const text of ["costCentre", "4711", "org", "deliveryId", "locale", "false"]) {
      expect(tree).toContain(text);
    }
    expect(tree).toContain("21 values");
  });

  test("hostile_text_is_text", async () => {
    const subject = paymentSubject({ supplier: HOSTILE, invoice: HOSTILE });
    const { element } = await show(escalation({ reason: HOSTILE, subject }));
    expect(element.renderRoot.querySelector("img, script")).toBeNull();
    const text = $(element, "blockquote").innerText;
    expect(text).toContain('<img src=x onerror="alert(1)">');
    expect(text).toContain("U+202E");
    expect(text).not.toContain("\u202e");
    const links = [...element.renderRoot.querySelectorAll("blockquote a")];
    expect(links.map((link) => link.textContent)).toEqual([
      "Open bank.example.evil.test in a new tab",
    ]);
    expect(links[0]?.getAttribute("rel")).toContain("noopener");
  });

  test("claims_are_emitted", async () => {
    const shown = escalation();
    const { element, events } = await show(shown);
    $(element, "header button").click();
    const { claimedBy, claimedUntil } = {
      claimedBy: element.userId ?? null,
      claimedUntil: "2026-11-22T10:30:00.000000Z",
    };
    element.escalation = { ...shown, claimedBy, claimedUntil };
    await element.updateComplete;
    expect(textOf(element)).toContain("Claimed by you until 11:30 AM");
    $(element, "header button").click();
    expect(events.map(({ type, detail }) => [type, detail as unknown])).toEqual([
      ["cks-claim", { escalationId: shown.id }],
      ["cks-release", { escalationId: shown.id }],
    ]);
  });

  test("a_listener_that_cancels_the_event_keeps_the_buttons", async () => {
    const { element, events } = await show(small());
    element.addEventListener("cks-decide", (event) => event.preventDefault());
    $(element, "#decide-approve").click();
    await element.updateComplete;
    expect(intents(events)).toHaveLength(1);
    expect(element.mayDecide("approve")).toBe(true);
  });
});
