import { act } from "react";
import { createRoot } from "react-dom/client";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import "../../src/handover-banner.js";
import "../../src/inbox.js";
import "../../src/metrics.js";
import "../../src/session-picker.js";
import "../../src/task-list.js";
import "../../src/timeline.js";
import "../../src/transcript.js";
import { connectInbox } from "../../src/core/actions.js";
import { InboxStore } from "../../src/core/inbox.js";
import type { DecisionIntent } from "../../src/core/model.js";
import { Inbox, useStore } from "../../src/react.js";
import { define } from "../../src/elements/element.js";
import type { CksApprovalCard } from "../../src/elements/approval-card.js";
import type { CksHandoverBanner } from "../../src/elements/handover-banner.js";
import type { CksInbox } from "../../src/elements/inbox.js";
import type { CksMetrics } from "../../src/elements/metrics.js";
import type { CksSessionPicker } from "../../src/elements/session-picker.js";
import type { CksTaskList } from "../../src/elements/task-list.js";
import type { CksTimeline } from "../../src/elements/timeline.js";
import { de } from "../../src/texts/de.js";
import * as fixtures from "../../gallery/fixtures.js";
import { $, FakeApi, focused, json, mount, textOf } from "./support.js";

const waiting = () => [
  fixtures.escalation(),
  fixtures.smallPayment("0.1", "EUR", "A"),
  fixtures.smallPayment("0.2", "EUR", "B"),
  fixtures.smallPayment("5", "USD", "C"),
];

async function showInbox(rest: Partial<CksInbox> = {}) {
  const escalations = waiting();
  const shown = await mount<CksInbox>("cks-inbox", { escalations, ...rest });
  const choose = (event: Event) => {
    const { escalationId } = (event as CustomEvent<{ escalationId: string }>).detail;
    shown.element.selectedId = escalationId;
    shown.element.selected = escalations.find(({ id }) => id === escalationId);
  };
  shown.element.addEventListener("cks-select", choose);
  const ids = escalations.map(({ id }) => id);
  return { ...shown, escalations, ids };
}

const currentId = () => (focused() as HTMLElement | null)?.dataset["id"];

beforeEach(() => page.viewport(1200, 800));

describe("inbox", () => {
  test("keys_move_open_select_and_edit", async () => {
    const { element, ids } = await showInbox();
    $(element, "button.open").focus();
    await userEvent.keyboard("jj");
    expect(currentId()).toBe(ids[2]);
    await userEvent.keyboard("k");
    expect(currentId()).toBe(ids[1]);
    await userEvent.keyboard("x");
    expect([...element.checked]).toEqual([ids[1]]);
    await userEvent.keyboard("{Enter}");
    await expect.poll(() => focused()?.id).toBe("title");
    const card = $<CksApprovalCard>(element, "cks-approval-card");
    expect(card.escalation?.id).toBe(ids[1]);
    // Shortcuts belong to the list.
    await userEvent.keyboard("x");
    expect([...element.checked]).toEqual([ids[1]]);
    $(element, "button.open").focus();
    await userEvent.keyboard("e");
    await expect.poll(() => focused()?.id).toBe("form-title");
    expect(element.selectedId).toBe(ids[0]);
  });

  test("keys_are_listed_and_can_be_turned_off_and_changed", async () => {
    const { element, ids } = await showInbox();
    $(element, "button.open").focus();
    await userEvent.keyboard("?");
    expect($(element, "details.keys").hasAttribute("open")).toBe(true);
    element.keys = null;
    await element.updateComplete;
    $(element, "button.open").focus();
    await userEvent.keyboard("j");
    expect(currentId()).toBe(ids[0]);
    element.keys = { next: "n", previous: "p", edit: "e", select: "x", help: "?" };
    await userEvent.keyboard("n");
    expect(currentId()).toBe(ids[1]);
  });

  test("only_calls_of_low_risk_can_be_selected", async () => {
    const { element, ids } = await showInbox();
    expect(element.renderRoot.querySelectorAll("li [type=checkbox]")).toHaveLength(3);
    element.toggle(ids[0] ?? "");
    expect(element.checked.size).toBe(0);
  });

  test("a_selection_is_confirmed_with_totals_by_currency_and_sent_one_by_one", async () => {
    const { element, events, ids } = await showInbox();
    ids.slice(1).forEach((id) => element.toggle(id));
    await element.updateComplete;
    $(element, ".bulk button.primary").click();
    await element.updateComplete;
    expect(events).toEqual([]);
    const totals = $(element, ".totals").innerText.replace(/\s+/g, " ");
    expect(totals).toContain("EUR 0.30");
    expect(totals).toContain("USD 5.00");
    $(element, ".bulk button.primary").click();
    await element.updateComplete;
    const { intents } = events[0]?.detail as { intents: DecisionIntent[] };
    expect(intents.map(({ escalationId }) => escalationId)).toEqual(ids.slice(1));
    expect(new Set(intents.map(({ subjectHash }) => subjectHash))).toEqual(
      new Set([fixtures.HASH]),
    );
    element.progress = new Map([
      [ids[1] ?? "", { state: "decided", decision: "approve" }],
      [ids[2] ?? "", { state: "unknown", intent: intents[1] as DecisionIntent }],
    ]);
    await element.updateComplete;
    const outcomes = [...element.renderRoot.querySelectorAll(".outcomes li")];
    expect(outcomes.map((outcome) => outcome.textContent?.replace(/\s+/g, " "))).toEqual([
      expect.stringContaining("Approved"),
      expect.stringContaining("Not known yet"),
      expect.stringContaining("Sending"),
    ]);
  });

  test("an_escalation_that_is_gone_leaves_the_selection", async () => {
    const { element, escalations, ids } = await showInbox();
    ids.slice(1).forEach((id) => element.toggle(id));
    element.escalations = escalations.slice(0, 2);
    await element.updateComplete;
    expect([...element.checked]).toEqual([ids[1]]);
  });

  test("filters_are_emitted", async () => {
    const { element, events } = await showInbox({ filter: { risk: "high" } });
    const [status] = element.renderRoot.querySelectorAll("select");
    await userEvent.selectOptions(status as HTMLElement, "resolved");
    $(element, ".filters [type=checkbox]").click();
    expect(events.map(({ detail }) => detail as unknown)).toEqual([
      { filter: { risk: "high", status: ["resolved"] } },
      { filter: { risk: "high", decidable: true } },
    ]);
  });

  test("a_store_and_an_inbox_work_together", async () => {
    const [shown] = waiting();
    const list = () => json({ escalations: [shown], nextCursor: null });
    const api = new FakeApi(list(), json(shown));
    const store = new InboxStore({ client: api.client() });
    const { element } = await mount<CksInbox>("cks-inbox", {});
    const disconnect = connectInbox(element, store);
    await store.refresh();
    await element.updateComplete;
    $(element, "button.open").click();
    await vi.waitFor(() => expect(api.calls).toHaveLength(2));
    await element.updateComplete;
    const card = $<CksApprovalCard>(element, "cks-approval-card");
    await card.updateComplete;
    api.reply(json({}), json(fixtures.resolved("approve", { id: shown?.id ?? "" })), list());
    card.openForm("approve");
    await card.updateComplete;
    $(card, "form button[type=submit]").click();
    await vi.waitFor(() => expect(textOf(card)).toContain("Approved by you"));
    disconnect();
  });

  test("german_texts_reach_all_parts", async () => {
    const { element } = await showInbox({ texts: de });
    $(element, "button.open").click();
    await expect.poll(() => element.renderRoot.querySelector("cks-approval-card")).toBeTruthy();
    await element.updateComplete;
    const card = $<CksApprovalCard>(element, "cks-approval-card");
    await card.updateComplete;
    expect(textOf(card)).toContain("12.000,00 EUR");
    expect(textOf(card)).toContain("Freigeben");
    expect(textOf(element)).toContain("4 Anfragen");
  });
});

describe("other elements", () => {
  test("a_task_that_waits_links_to_its_escalation", async () => {
    const { element, events } = await mount<CksTaskList>("cks-task-list", {
      tasks: fixtures.TASKS,
    });
    expect(textOf(element)).toContain("1 of 4 done");
    expect(textOf(element)).toContain("Overdue since Nov 21, 2026");
    $(element, "li button").click();
    expect(events[0]?.detail).toEqual({ escalationId: fixtures.TASKS[1]?.escalationId });
  });

  test("a_handover_names_the_agent_that_the_user_saw", async () => {
    const { element } = await mount<CksHandoverBanner>("cks-handover-banner", {
      event: fixtures.HANDOVER,
      agentId: "tax_compliance",
      canHandOver: true,
      isOpen: true,
    });
    expect(textOf(element)).toContain("Tax compliance continues this conversation");
    const requests: unknown[] = [];
    element.addEventListener("cks-handover", (event) =>
      requests.push((event as CustomEvent<unknown>).detail),
    );
    await userEvent.selectOptions($(element, "#agent"), "cfo_strategy");
    await userEvent.fill($(element, "#reason"), "Budget");
    $(element, "form button").click();
    expect(requests).toEqual([
      { agentId: "cfo_strategy", fromAgentId: "tax_compliance", reason: "Budget" },
    ]);
  });

  test("a_session_is_ended_only_after_a_question", async () => {
    const { element } = await mount<CksSessionPicker>("cks-session-picker", {
      sessions: fixtures.SESSIONS,
      currentId: fixtures.SESSIONS[0]?.id,
    });
    const ended: unknown[] = [];
    element.addEventListener("cks-end-session", (event) =>
      ended.push((event as CustomEvent<unknown>).detail),
    );
    $(element, "li button.quiet").click();
    await element.updateComplete;
    expect(ended).toEqual([]);
    $(element, "button.danger").click();
    expect(ended).toEqual([{ sessionId: fixtures.SESSIONS[0]?.id }]);
  });

  test("each_chart_has_a_table_with_its_figures", async () => {
    const { element } = await mount<CksMetrics>("cks-metrics", { metrics: fixtures.METRICS });
    const charts = element.renderRoot.querySelectorAll("figure");
    expect(charts).toHaveLength(3);
    const rows = charts[0]?.querySelectorAll("tbody tr");
    expect(rows).toHaveLength(fixtures.METRICS.buckets.length);
    expect(rows?.[0]?.textContent?.replace(/\s+/g, " ")).toContain("Nov 8 62 12 5");
    const bars = charts[0]?.querySelectorAll("svg[role=img] rect");
    expect(bars).toHaveLength(3 * fixtures.METRICS.buckets.length);
    const highest = [...(bars ?? [])].map((bar) => Number(bar.getAttribute("height")));
    expect(highest.indexOf(Math.max(...highest))).toBe(3 * 10);
  });

  test("a_timeline_names_actors_and_unknown_events", async () => {
    const { element } = await mount<CksTimeline>("cks-timeline", {
      events: fixtures.EVENTS,
      names: { [fixtures.USER]: "clerk@example.com" },
    });
    const text = textOf(element);
    expect(text).toContain("Clicked pay by clerk@example.com");
    expect(text).toContain("Decided: Approved by you");
    expect(text).toContain("Event custom_export");
    expect(text).toContain("by the system");
  });

  test("an_element_is_defined_once", () => {
    const before = customElements.get("cks-inbox");
    define("cks-inbox", class extends HTMLElement {});
    expect(customElements.get("cks-inbox")).toBe(before);
  });
});

describe("react", () => {
  test("a_component_sets_properties_and_listens", async () => {
    Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
    const [shown] = waiting();
    const api = new FakeApi(json({ escalations: [shown], nextCursor: null }));
    const store = new InboxStore({ client: api.client() });
    const chosen: (string | undefined)[] = [];
    const Desk = () => {
      const { escalations } = useStore(store);
      return (
        <Inbox
          escalations={escalations}
          onSelectEscalation={({ detail }) => chosen.push(detail.escalationId)}
        />
      );
    };
    const container = document.createElement("div");
    document.body.replaceChildren(container);
    const root = createRoot(container);
    act(() => root.render(<Desk />));
    await act(() => store.refresh());
    const element = container.querySelector("cks-inbox") as CksInbox;
    await element.updateComplete;
    $(element, "button.open").click();
    expect(chosen).toEqual([shown?.id]);
    act(() => root.unmount());
  });
});
