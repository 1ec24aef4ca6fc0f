// Every element but the inbox with the keyboard only: from a control before it, with Tab, to each
// outcome.

import { beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import "../../src/approval-card.js";
import "../../src/handover-banner.js";
import "../../src/metrics.js";
import "../../src/schema-form.js";
import "../../src/session-picker.js";
import "../../src/task-list.js";
import "../../src/timeline.js";
import "../../src/transcript.js";
import type { CksApprovalCard } from "../../src/elements/approval-card.js";
import type { CksHandoverBanner } from "../../src/elements/handover-banner.js";
import type { CksMetrics } from "../../src/elements/metrics.js";
import type { CksSessionPicker } from "../../src/elements/session-picker.js";
import type { CksTaskList } from "../../src/elements/task-list.js";
import type { CksTimeline } from "../../src/elements/timeline.js";
import type { CksTranscript } from "../../src/elements/transcript.js";
import type { DecisionIntent } from "../../src/core/model.js";
import * as fixtures from "../../gallery/fixtures.js";
import { nameOf, press, settle, show, tabTo } from "./keyboard-support.js";
import { $, focused } from "./support.js";

beforeEach(() => page.viewport(1200, 900));

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
