// Every element with the keyboard only: from a control before it, with Tab, to each outcome.

import { beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import "../../src/approval-card.js";
import "../../src/handover-banner.js";
import "../../src/inbox.js";
import "../../src/metrics.js";
import "../../src/schema-form.js";
import "../../src/session-picker.js";
import "../../src/task-list.js";
import "../../src/timeline.js";
import "../../src/transcript.js";
import type { CksApprovalCard } from "../../src/elements/approval-card.js";
import type { CksElement } from "../../src/elements/element.js";
import type { CksHandoverBanner } from "../../src/elements/handover-banner.js";
import type { CksInbox } from "../../src/elements/inbox.js";
import type { CksMetrics } from "../../src/elements/metrics.js";
import type { CksSessionPicker } from "../../src/elements/session-picker.js";
import type { CksTaskList } from "../../src/elements/task-list.js";
import type { CksTimeline } from "../../src/elements/timeline.js";
import type { CksTranscript } from "../../src/elements/transcript.js";
import type { DecisionIntent } from "../../src/core/model.js";
import * as fixtures from "../../gallery/fixtures.js";
import { $, focused, mount } from "./support.js";

beforeEach(() => page.viewport(1200, 900));

/** Shows an element after a control that has the focus. Returns its events. */
async function show<T extends CksElement>(tag: string, properties: object) {
  const { element } = await mount<T>(tag, properties);
  const before = document.createElement("button");
  before.textContent = "Before";
  element.before(before);
  before.focus();
  const events: [string, unknown][] = [];
  const listen = (name: string) =>
    element.addEventListener(`cks-${name}`, (event) =>
      events.push([name, (event as CustomEvent<unknown>).detail]),
    );
  [
    ...["decide", "decide-all", "select", "claim", "release", "filter", "load-more"],
    ...["arrivals-seen", "handover", "dismiss", "resume", "end-session", "new-session"],
  ].forEach(listen);
  return { element, events };
}

const nameOf = (element: Element | null): string => {
  const root = element?.getRootNode() as ShadowRoot | Document | undefined;
  const label = element?.id ? root?.querySelector(`label[for="${element.id}"]`) : null;
  const own = element?.getAttribute("aria-label") ?? element?.textContent;
  const text = label?.textContent ?? element?.closest("label")?.textContent ?? own ?? "";
  return text.replace(/\s+/g, " ").trim();
};

/** Presses Tab until a control with this name has the focus. */
async function tabTo(name: string | RegExp): Promise<HTMLElement> {
  const visited: string[] = [];
  for (let i = 0; i < 60; i++) {
    await userEvent.keyboard("{Tab}");
    const current = focused();
    const found = nameOf(current);
    if (typeof name === "string" ? found === name : name.test(found)) return current as HTMLElement;
    visited.push(found.slice(0, 40));
  }
  throw new Error(`Tab does not reach ${String(name)}: ${visited.join(" | ")}`);
}

/** Presses keys. Afterwards, a part of the element must have the focus. */
async function press(element: CksElement, keys: string): Promise<void> {
  await userEvent.keyboard(keys);
  await settle(element);
}

async function settle(element: CksElement): Promise<void> {
  await element.updateComplete;
  await element.updateComplete;
  expect(document.activeElement, "the element that has the focus").toBe(element);
}

describe("approval card", () => {
  const card = (escalation = fixtures.escalation(), rest: Partial<CksApprovalCard> = {}) =>
    show<CksApprovalCard>("cks-approval-card", { escalation, ...rest });

  test("reject_asks_for_a_comment_and_sends_it", async () => {
    const { element, events } = await card();
    await tabTo("Reject");
    await press(element, "{Enter}");
    expect(focused()?.id).toBe("form-title");
    await tabTo("Reject");
    await press(element, "{Enter}");
    expect(events).toEqual([]);
    expect(focused()?.id).toBe("comment");
    await press(element, "Not our supplier");
    await tabTo("Reject");
    await press(element, "{Enter}");
    expect(events).toMatchObject([["decide", { decision: "reject", comment: "Not our supplier" }]]);
    element.progress = { state: "sending", intent: events[0]?.[1] as DecisionIntent };
    await settle(element);
    expect(focused()?.id).toBe("outcome");
    element.progress = { state: "decided", decision: "reject" };
    await settle(element);
    expect(focused()?.id).toBe("outcome");
  });

  test("edit_changes_a_value_and_sends_the_call", async () => {
    const { element, events } = await card();
    await tabTo("Edit");
    await press(element, "{Enter}");
    await expect.poll(() => focused()?.id).toBe("form-title");
    await customElements.whenDefined("cks-schema-form");
    await tabTo(/^Supplier/);
    await press(element, "{Control>}a{/Control}Northwind Paper B.V.");
    await tabTo(/^Comment/);
    await press(element, "Renamed{Control>}{Enter}{/Control}");
    expect(events).toMatchObject([
      ["decide", { decision: "edit", comment: "Renamed", answer: { amount: "12000.00" } }],
    ]);
    expect(events[0]?.[1]).toMatchObject({ answer: { supplier: "Northwind Paper B.V." } });
  });

  test("respond_fills_each_kind_of_field", async () => {
    const { element, events } = await card(fixtures.QUESTION());
    await tabTo("Answer");
    await press(element, "{Enter}");
    await expect.poll(() => focused()?.id).toBe("form-title");
    await customElements.whenDefined("cks-schema-form");
    await tabTo(/^Account/);
    await press(element, "NL91ABNA0417164300");
    await tabTo(/^Amount/);
    await press(element, "12,000.50");
    await tabTo(/^Currency/);
    await press(element, "{ArrowDown}{ArrowDown}");
    await tabTo(/^Due date/);
    await press(element, "11302026");
    await tabTo(/^Urgent/);
    await press(element, " ");
    await tabTo("Send the answer");
    await press(element, "{Enter}");
    const answer = {
      account: "NL91ABNA0417164300",
      amount: 12000.5,
      currency: "USD",
      urgent: true,
    };
    expect(events).toMatchObject([["decide", { decision: "respond", answer }]]);
    expect(events[0]?.[1]).toMatchObject({ answer: { dueDate: "2026-11-30" } });
  });

  test("claim_and_release_keep_the_focus", async () => {
    const { element, events } = await card();
    const shown = element.escalation as ReturnType<typeof fixtures.escalation>;
    await tabTo("Claim");
    await press(element, "{Enter}");
    const claim = { claimedBy: fixtures.APPROVER, claimedUntil: "2026-11-22T10:30:00.000000Z" };
    element.escalation = { ...shown, ...claim };
    await settle(element);
    await tabTo("Release");
    await press(element, "{Enter}");
    element.escalation = shown;
    await settle(element);
    expect(events.map(([name]) => name)).toEqual(["claim", "release"]);
  });

  test("the_whole_request_opens_and_the_fingerprint_is_copied", async () => {
    const { element } = await card();
    const written = vi.spyOn(navigator.clipboard, "writeText").mockResolvedValue();
    await tabTo(/^The whole request/);
    await press(element, "{Enter}");
    expect($<HTMLDetailsElement>(element, "details.everything").open).toBe(true);
    await tabTo("Copy the whole fingerprint");
    await press(element, "{Enter}");
    expect(written).toHaveBeenCalledWith(fixtures.HASH);
    written.mockRestore();
  });

  test("a_decision_without_a_response_is_repeated", async () => {
    const escalation = fixtures.escalation();
    const { id: escalationId, subjectHash } = escalation;
    const intent: DecisionIntent = { escalationId, decision: "approve", subjectHash };
    const { element, events } = await card(escalation, { progress: { state: "unknown", intent } });
    await tabTo("Send it again");
    await press(element, "{Enter}");
    expect(events).toEqual([["decide", intent]]);
    element.progress = { state: "sending", intent };
    await settle(element);
  });

  test("the_request_that_follows_is_shown", async () => {
    const { element, events } = await card(fixtures.resolved("edit", { successorId: "next" }));
    await tabTo("Show the new request");
    await press(element, "{Enter}");
    expect(events).toEqual([["select", { escalationId: "next" }]]);
  });
});

describe("inbox", () => {
  const escalations = () => [
    fixtures.escalation(),
    fixtures.smallPayment("0.1", "EUR", "A"),
    fixtures.smallPayment("0.2", "EUR", "B"),
  ];
  const inbox = (rest: Partial<CksInbox> = {}) =>
    show<CksInbox>("cks-inbox", { escalations: escalations(), ...rest });
  const currentId = () => (focused() as HTMLElement | null)?.dataset["id"];

  test("filters_and_order_are_chosen", async () => {
    const { element, events } = await inbox();
    await tabTo(/^Status/);
    await press(element, "{ArrowDown}");
    await tabTo(/^Risk/);
    await press(element, "{ArrowDown}");
    await tabTo(/^Agent/);
    await press(element, "{ArrowDown}");
    await tabTo(/^Sort by/);
    await press(element, "{ArrowDown}");
    await tabTo("Mine to decide");
    await press(element, " ");
    await tabTo("Claimed by me");
    await press(element, " ");
    expect(events.map(([, detail]) => (detail as { filter: object }).filter)).toEqual([
      { status: ["resolved"] },
      { risk: "low" },
      { agentId: "accounts_payable" },
      { sort: "expiry" },
      { decidable: true },
      { claimedBy: "me" },
    ]);
  });

  test.each([true, false])("arrows_move_in_the_list_with_shortcuts_%s", async (hasKeys) => {
    const { element, events } = await inbox(hasKeys ? {} : { keys: null });
    const ids = element.escalations.map(({ id }) => id);
    await tabTo(/^Approve a call of pay/);
    await press(element, "{ArrowDown}{ArrowDown}");
    expect(currentId()).toBe(ids[2]);
    await press(element, "{ArrowUp}");
    expect(currentId()).toBe(ids[1]);
    await press(element, "{Home}");
    expect(currentId()).toBe(ids[0]);
    await press(element, "{End}{Enter}");
    expect(events).toEqual([["select", { escalationId: ids[2] }]]);
  });

  test("a_request_keeps_the_focus_when_another_is_listed_before_it", async () => {
    const { element } = await inbox();
    const [first, second] = element.escalations;
    await tabTo(/^Approve a call of pay/);
    await press(element, "{ArrowDown}");
    element.escalations = [fixtures.escalation(), ...element.escalations];
    await settle(element);
    expect(currentId()).toBe(second?.id);
    element.escalations = [first as (typeof element.escalations)[number]];
    await settle(element);
  });

  test("several_requests_are_selected_approved_and_their_outcomes_closed", async () => {
    const { element, events } = await inbox();
    const [, one, two] = element.escalations;
    await tabTo(/^Select Approve a call/);
    await press(element, " ");
    await tabTo(/^Select Approve a call/);
    await press(element, " ");
    element.renderRoot.querySelector<HTMLElement>("h2")?.focus();
    await tabTo("Approve 2");
    await press(element, "{Enter}");
    expect(focused()?.id).toBe("bulk-title");
    await tabTo("Back");
    await press(element, "{Enter}");
    expect(focused()?.id).toBe("bulk-title");
    await tabTo("Approve 2");
    await press(element, "{Enter}");
    await tabTo("Approve now");
    await press(element, "{Enter}");
    expect(focused()?.id).toBe("bulk-title");
    const [[name, detail] = []] = events;
    expect(name).toBe("decide-all");
    const { intents } = detail as { intents: DecisionIntent[] };
    expect(intents.map(({ escalationId }) => escalationId)).toEqual([one?.id, two?.id]);
    await tabTo("Show the request");
    await press(element, "{Enter}");
    expect(events[1]).toEqual(["select", { escalationId: one?.id }]);
    element.renderRoot.querySelector<HTMLElement>("h2")?.focus();
    await tabTo("Close");
    await press(element, "{Enter}");
    expect(element.bulk).toEqual([]);
  });

  test("a_selection_is_cleared", async () => {
    const { element } = await inbox();
    element.toggle(element.escalations[1]?.id ?? "");
    await tabTo("Clear the selection");
    await press(element, "{Enter}");
    expect(element.checked.size).toBe(0);
  });

  test("more_is_loaded_and_new_requests_are_seen", async () => {
    const { element, events } = await inbox({ hasMore: true });
    element.arrivals = element.escalations.slice(0, 1).map(({ id }) => id);
    await tabTo("Close");
    await press(element, "{Enter}");
    element.arrivals = [];
    await settle(element);
    await tabTo("Load more");
    await press(element, "{Enter}");
    Object.assign(element, {
      hasMore: false,
      escalations: [...element.escalations, ...escalations()],
    });
    await settle(element);
    expect(events.map(([name]) => name)).toEqual(["arrivals-seen", "load-more"]);
  });

  test("shortcuts_are_turned_off", async () => {
    const { element } = await inbox();
    await tabTo("Keyboard shortcuts");
    await press(element, "{Enter}");
    await tabTo("Use shortcuts");
    await press(element, " ");
    expect(element.keys).toBeNull();
  });

  test("a_narrow_inbox_goes_into_a_request_and_back", async () => {
    await page.viewport(400, 900);
    const { element } = await inbox();
    element.addEventListener("cks-select", (event) => {
      const { escalationId } = (event as CustomEvent<{ escalationId?: string }>).detail;
      element.selectedId = escalationId;
      element.selected = element.escalations.find(({ id }) => id === escalationId);
    });
    const [first] = element.escalations;
    await tabTo(/^Approve a call of pay/);
    await press(element, "{Enter}");
    await expect.poll(() => focused()?.id).toBe("title");
    // The button to claim is between them.
    await userEvent.keyboard("{Shift>}{Tab}{Tab}{/Shift}");
    expect(nameOf(focused())).toBe("Back");
    await press(element, "{Enter}");
    expect(currentId()).toBe(first?.id);
  });
});

describe("session picker", () => {
  const picker = () =>
    show<CksSessionPicker>("cks-session-picker", {
      sessions: fixtures.SESSIONS,
      currentId: fixtures.SESSIONS[0]?.id,
    });
  const [current, other] = fixtures.SESSIONS.map(({ id }) => id);

  test("a_session_is_started_and_continued", async () => {
    const { element, events } = await picker();
    await tabTo("Start a conversation");
    await press(element, "{Enter}");
    await tabTo(/^Continue here/);
    await press(element, "{Enter}");
    element.currentId = other;
    await settle(element);
    expect(events).toEqual([
      ["new-session", {}],
      ["resume", { sessionId: other }],
    ]);
  });

  test("a_session_is_ended_after_a_question_that_can_be_left", async () => {
    const { element, events } = await picker();
    await tabTo(/^End: /);
    await press(element, "{Enter}");
    expect(nameOf(focused())).toContain("End this conversation?");
    await tabTo("Back");
    await press(element, "{Enter}");
    expect(nameOf(focused())).toMatch(/^End: /);
    await press(element, "{Enter}");
    await tabTo("End it");
    await press(element, "{Enter}");
    expect(events).toEqual([["end-session", { sessionId: current }]]);
    element.sessions = fixtures.SESSIONS.slice(1);
    await settle(element);
  });
});

describe("handover banner", () => {
  test("a_session_is_handed_over_and_the_banner_dismissed", async () => {
    const { element, events } = await show<CksHandoverBanner>("cks-handover-banner", {
      event: fixtures.HANDOVER,
      agentId: "tax_compliance",
      canHandOver: true,
    });
    await tabTo("Dismiss");
    await press(element, "{Enter}");
    element.event = undefined;
    await settle(element);
    await tabTo("Hand over to another agent");
    await press(element, "{Enter}");
    await tabTo("Agent");
    await press(element, "{ArrowDown}");
    await tabTo(/^Reason/);
    await press(element, "Budget");
    await tabTo(/^What is carried over/);
    await press(element, "All checked");
    await tabTo("Hand over");
    await press(element, "{Enter}");
    element.isSending = true;
    await settle(element);
    expect(nameOf(focused())).toBe("Handing over…");
    const request = { agentId: "cfo_strategy", reason: "Budget", summary: "All checked" };
    expect(events).toMatchObject([
      ["dismiss", { eventId: fixtures.HANDOVER.id }],
      ["handover", request],
    ]);
  });
});

describe("other elements", () => {
  test("a_task_shows_its_request", async () => {
    const { element, events } = await show<CksTaskList>("cks-task-list", { tasks: fixtures.TASKS });
    await tabTo(/^Show the request/);
    await press(element, "{Enter}");
    const escalationId = fixtures.TASKS[1]?.escalationId;
    expect(events).toEqual([["select", { escalationId }]]);
    element.tasks = fixtures.TASKS.map((task) => ({ ...task, requiresHitl: false }));
    await settle(element);
  });

  test("a_timeline_opens_details_and_loads_more", async () => {
    const { element, events } = await show<CksTimeline>("cks-timeline", {
      events: fixtures.EVENTS,
      hasMore: true,
    });
    const summary = await tabTo(/^Details: Clicked pay/);
    await press(element, "{Enter}");
    expect((summary.parentElement as HTMLDetailsElement).open).toBe(true);
    await tabTo("Load more");
    await press(element, "{Enter}");
    element.hasMore = false;
    await settle(element);
    expect(events).toEqual([["load-more", {}]]);
  });

  test("a_transcript_and_its_links_are_reached", async () => {
    const { element } = await show<CksTranscript>("cks-transcript", {
      messages: fixtures.MESSAGES,
    });
    await userEvent.keyboard("{Tab}");
    expect(focused()?.getAttribute("role")).toBe("log");
    const link = await tabTo("Open files.example.com in a new tab");
    const opened: string[] = [];
    element.addEventListener("click", (event) => {
      event.preventDefault();
      opened.push((event.composedPath()[0] as HTMLAnchorElement).href);
    });
    await press(element, "{Enter}");
    expect(opened).toEqual([(link as HTMLAnchorElement).href]);
  });

  test("a_table_of_metrics_opens_and_scrolls", async () => {
    await page.viewport(320, 900);
    const { element } = await show<CksMetrics>("cks-metrics", { metrics: fixtures.METRICS });
    const summary = await tabTo(/: Sessions/);
    await press(element, "{Enter}");
    expect((summary.parentElement as HTMLDetailsElement).open).toBe(true);
    await userEvent.keyboard("{Tab}");
    const region = focused() as HTMLElement;
    expect(region.getAttribute("role")).toBe("region");
    const table = region.querySelector("table") as HTMLElement;
    table.style.inlineSize = "800px";
    await press(element, "{ArrowRight}{ArrowRight}");
    await expect.poll(() => region.scrollLeft).toBeGreaterThan(0);
  });
});
