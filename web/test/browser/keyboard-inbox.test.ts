// The inbox with the keyboard only: from a control before it, with Tab, to each outcome.

import { beforeEach, describe, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import "../../src/inbox.js";
import type { CksInbox } from "../../src/elements/inbox.js";
import type { DecisionIntent } from "../../src/core/model.js";
import * as fixtures from "../../gallery/fixtures.js";
import { nameOf, press, settle, show, tabTo } from "./keyboard-support.js";
import { focused } from "./support.js";

beforeEach(() => page.viewport(1200, 900));

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
