import type { CksElement } from "../../src/elements/element.js";
import type { CksInbox } from "../../src/elements/inbox.js";
import type { DecisionProgress } from "../../src/core/outcome.js";
import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import type { Escalation } from "../../src/core/model.js";
import * as fixtures from "../fixtures.js";
import { element, type Example } from "./example.js";

const waiting = (): Escalation[] => [
  fixtures.escalation(),
  fixtures.smallPayment("240.50", "EUR", "Blue Kite Travel"),
  fixtures.smallPayment("1180", "EUR", "Harbour Coffee"),
  fixtures.smallPayment("99.9", "USD", "Cloud Storage Inc"),
  fixtures.QUESTION(),
  fixtures.escalation({
    risk: "medium",
    claimedBy: fixtures.OTHER_APPROVER,
    claimedByName: "treasurer@example.com",
    claimedUntil: "2026-11-22T10:30:00.000000Z",
    subject: fixtures.paymentSubject({ amount: "4250", supplier: fixtures.HOSTILE }),
  }),
];

function inbox(
  name: string,
  properties: () => Partial<CksInbox>,
  prepare?: Example["prepare"],
): Example {
  const make = () => element<CksInbox>("cks-inbox", properties());
  return { name: `inbox-${name}`, make, ...(prepare && { prepare }) };
}

const chosen = (): Partial<CksInbox> => {
  const escalations = waiting();
  const [selected] = escalations;
  return { escalations, selected, selectedId: selected?.id };
};

const lowIds = (shown: CksElement) =>
  (shown as CksInbox).escalations.filter(({ risk }) => risk === "low").map(({ id }) => id);

export const inboxes: Example[] = [
  inbox("list", () => ({ escalations: waiting(), hasMore: true })),
  inbox("chosen", chosen),
  inbox("hostile", () => {
    const escalations = [
      fixtures.smallPayment("1", "EUR", fixtures.HOSTILE),
      fixtures.escalation({
        userName: fixtures.HOSTILE,
        claimedBy: fixtures.OTHER_APPROVER,
        claimedByName: fixtures.HOSTILE,
        claimedUntil: "2026-11-22T10:30:00.000000Z",
        subject: {
          ...fixtures.paymentSubject(),
          tool: fixtures.HOSTILE,
          agentId: fixtures.HOSTILE,
        },
      }),
    ];
    const agents = fixtures.AGENTS.map((agent) => ({ ...agent, displayName: fixtures.HOSTILE }));
    return { escalations, agents };
  }),
  inbox("empty", () => ({})),
  inbox("empty-filtered", () => ({ filter: { risk: "high" } })),
  inbox("loading", () => ({ isLoading: true })),
  inbox("failure", () => ({
    ...chosen(),
    failure: new ProblemError(503, {
      code: "supabase_unavailable",
      requestId: "8f2f3b1a-6f6e-4a59-9a53-0d6c1c6a7f10",
    }),
  })),
  inbox("offline", () => ({ failure: new NoResponseError(undefined) })),
  inbox("arrivals", () => {
    const escalations = waiting();
    return { escalations, arrivals: escalations.slice(1, 3).map(({ id }) => id) };
  }),
  inbox("closed", () => ({
    filter: { status: ["resolved"] },
    escalations: [fixtures.resolved("approve"), fixtures.resolved("reject")],
  })),
  inbox(
    "selection",
    () => ({ escalations: waiting() }),
    (shown) => void lowIds(shown).forEach((id) => (shown as CksInbox).toggle(id)),
  ),
  inbox(
    "confirming",
    () => ({ escalations: waiting() }),
    async (shown) => {
      lowIds(shown).forEach((id) => (shown as CksInbox).toggle(id));
      await shown.updateComplete;
      (shown as CksInbox).isConfirming = true;
    },
  ),
  inbox("outcomes", () => {
    const escalations = waiting();
    const ids = escalations.slice(0, 5).map(({ id }) => id);
    const states: DecisionProgress[] = [
      { state: "decided", decision: "approve" },
      { state: "sending", intent: { escalationId: "", decision: "approve", subjectHash: "" } },
      { state: "unknown", intent: { escalationId: "", decision: "approve", subjectHash: "" } },
      {
        state: "refused",
        intent: { escalationId: "", decision: "approve", subjectHash: "" },
        problem: { code: "step_up_required" },
      },
      {
        state: "conflict",
        winner: { decision: "reject", decidedBy: fixtures.APPROVER, decidedAt: "" },
      },
    ];
    const entries = ids.map((id, index) => [id, states[index]] as [string, DecisionProgress]);
    return { escalations, bulk: ids, progress: new Map(entries) };
  }),
  inbox(
    "keys",
    () => ({ escalations: waiting() }),
    (shown) => shown.renderRoot.querySelector("details.keys")?.setAttribute("open", ""),
  ),
];
