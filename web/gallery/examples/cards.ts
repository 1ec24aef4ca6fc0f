// The approval card, and the form for values.

import type { CksApprovalCard } from "../../src/elements/approval-card.js";
import type { CksElement } from "../../src/elements/element.js";
import type { DecisionProgress } from "../../src/core/outcome.js";
import type { Escalation } from "../../src/core/model.js";
import * as fixtures from "../fixtures.js";
import { element, type Example } from "./example.js";

function card(
  name: string,
  escalation: () => Escalation,
  progress?: (shown: Escalation) => DecisionProgress,
  properties: Partial<CksApprovalCard> = {},
): Example {
  const make = () => {
    const shown = escalation();
    const state = progress?.(shown);
    return element<CksApprovalCard>("cks-approval-card", {
      escalation: shown,
      ...(state && { progress: state }),
      ...properties,
    });
  };
  return { name: `card-${name}`, make };
}

const low = () => fixtures.smallPayment("240.50", "EUR", "Blue Kite Travel");
const intentOf = ({ id, subjectHash }: Escalation) => ({
  escalationId: id,
  subjectHash,
  decision: "approve" as const,
});
const asRequester = { userId: fixtures.USER };

function withForm(example: Example, mode: "approve" | "edit" | "reject" | "respond"): Example {
  const prepare = async (shown: CksElement) => {
    await openForm(shown, mode);
  };
  return { ...example, name: `${example.name}-${mode}`, prepare };
}

/** Opens a form, and waits for the module of its values. */
async function openForm(
  shown: CksElement,
  mode: "approve" | "edit" | "reject" | "respond",
): Promise<void> {
  (shown as CksApprovalCard).openForm(mode);
  if (mode === "edit" || mode === "respond") await customElements.whenDefined("cks-schema-form");
  await shown.updateComplete;
}

const claimed = (by: string, name: string) => () =>
  fixtures.escalation({
    claimedBy: by,
    claimedByName: name,
    claimedUntil: "2026-11-22T10:30:00.000000Z",
  });

export const cards: Example[] = [
  card("policy", fixtures.escalation),
  card("low-risk", low),
  card("medium-risk", () => fixtures.escalation({ risk: "medium" })),
  card("claimed-by-you", claimed(fixtures.APPROVER, "approver@example.com")),
  card("claimed-by-other", claimed(fixtures.OTHER_APPROVER, "treasurer@example.com")),
  card("rejected-before", () =>
    fixtures.escalation({
      rejectedBefore: [
        { id: fixtures.HASH.slice(0, 36), at: "2026-11-21T09:00:00.000000Z" },
        { id: fixtures.HASH.slice(0, 36), at: "2026-11-19T09:00:00.000000Z" },
      ],
    }),
  ),
  card("expires-soon", () => fixtures.escalation({ expiresAt: "2026-11-22T10:41:00.000000Z" })),
  card("written-by-other", () =>
    fixtures.escalation({ authorId: fixtures.OTHER_APPROVER, authorName: "treasurer@example.com" }),
  ),
  card("no-currency", () =>
    fixtures.escalation({
      subject: fixtures.paymentSubject({ amount: "-12000.5", currency: undefined }),
    }),
  ),
  card("exact-digits", () => fixtures.escalation({ subject: fixtures.exactSubject() })),
  card("hostile", () =>
    fixtures.escalation({
      reason: fixtures.HOSTILE,
      userName: `clerk\u202e@example.com`,
      subject: fixtures.paymentSubject({
        supplier: fixtures.HOSTILE,
        amount: "12,000 or so",
        invoice: fixtures.HOSTILE,
      }),
    }),
  ),
  card("no-display", () => {
    const { display: _display, ...subject } = fixtures.paymentSubject();
    return fixtures.escalation({ subject });
  }),
  ...(["agent_failed", "outcome_unknown", "browser"] as const).map((kind) =>
    card(kind, () =>
      fixtures.escalation({ kind, origin: kind === "browser" ? "browser" : "orchestrator" }),
    ),
  ),
  card("question", fixtures.QUESTION),
  card(
    "confirm",
    () =>
      fixtures.escalation({
        kind: "confirm",
        risk: "low",
        decisions: ["approve", "reject"],
        mayDecide: { decisions: ["approve", "reject"], because: null },
      }),
    undefined,
    asRequester,
  ),
  card(
    "own-request",
    () => fixtures.escalation({ mayDecide: { decisions: ["reject"], because: "own_request" } }),
    undefined,
    asRequester,
  ),
  ...(
    [
      "author_may_not_decide",
      "requester_must_confirm",
      "approver_role_required",
      "not_a_member",
      "oauth_client_forbidden",
      "step_up_required",
    ] as const
  ).map((because) =>
    card(`may-not-${because}`, () =>
      fixtures.escalation({ mayDecide: { decisions: [], because } }),
    ),
  ),
  card("sending", fixtures.escalation, (shown) => ({ state: "sending", intent: intentOf(shown) })),
  card("decided", low, () => ({ state: "decided", decision: "approve" })),
  card("unknown", fixtures.escalation, (shown) => ({ state: "unknown", intent: intentOf(shown) })),
  card("conflict", fixtures.escalation, () => ({
    state: "conflict",
    winner: {
      decision: "reject",
      decidedBy: fixtures.OTHER_APPROVER,
      decidedByName: "treasurer@example.com",
      decidedAt: "2026-11-22T10:19:10.000000Z",
    },
  })),
  card("changed", fixtures.escalation, (shown) => ({
    state: "changed",
    previous: {
      ...shown,
      subject: fixtures.paymentSubject({ amount: "1200.00", account: "DE89370400440532013000" }),
      subjectHash: fixtures.HASH.replace("9f", "00"),
    },
  })),
  card("refused", fixtures.escalation, (shown) => ({
    state: "refused",
    intent: intentOf(shown),
    problem: { code: "policy_forbids", requestId: "8f2f3b1a-6f6e-4a59-9a53-0d6c1c6a7f10" },
  })),
  card("approved", () =>
    fixtures.resolved("approve", { comment: "Checked against the order of 3 November." }),
  ),
  card("rejected", () =>
    fixtures.resolved("reject", { comment: "The account is not the supplier's." }),
  ),
  card("edited", () =>
    fixtures.resolved("edit", { successorId: "019aaa00-7c00-7000-8000-0000000000e9" }),
  ),
  card("expired", () =>
    fixtures.escalation({
      status: "expired",
      mayDecide: { decisions: [], because: "expired" },
    }),
  ),
  card("withdrawn", () =>
    fixtures.escalation({
      status: "withdrawn",
      mayDecide: { decisions: [], because: "withdrawn" },
    }),
  ),
];

export const forms: Example[] = [
  withForm(card("policy", fixtures.escalation), "approve"),
  withForm(card("policy", fixtures.escalation), "reject"),
  withForm(card("question", fixtures.QUESTION), "respond"),
  withForm(
    card(
      "own",
      () => fixtures.escalation({ mayDecide: { decisions: ["reject"], because: "own_request" } }),
      undefined,
      asRequester,
    ),
    "reject",
  ),
  {
    ...card("policy", fixtures.escalation),
    name: "card-policy-edit",
    async prepare(shown) {
      await openForm(shown, "edit");
      const form = shown.renderRoot.querySelector("cks-schema-form") as CksElement;
      await form.updateComplete;
      write(
        form,
        "#field-amount",
        new Intl.NumberFormat(shown.texts?.locale ?? "en").format(11500),
      );
      write(form, "#field-supplier", "Northwind Paper B.V.");
      await form.updateComplete;
    },
  },
  {
    ...card("question", fixtures.QUESTION),
    name: "card-question-errors",
    async prepare(shown) {
      await openForm(shown, "respond");
      const form = shown.renderRoot.querySelector("cks-schema-form") as CksElement;
      await form.updateComplete;
      write(form, "#field-amount", "a lot");
      write(form, "#field-account", "1");
      shown.renderRoot.querySelector<HTMLElement>("button[type=submit]")?.click();
      await form.updateComplete;
    },
  },
  {
    ...card("policy", fixtures.escalation),
    name: "card-reject-without-comment",
    async prepare(shown) {
      await openForm(shown, "reject");
      shown.renderRoot.querySelector<HTMLElement>("button[type=submit]")?.click();
      await shown.updateComplete;
    },
  },
  {
    ...card("policy", fixtures.escalation),
    name: "card-everything",
    async prepare(shown) {
      shown.renderRoot.querySelector("details.everything")?.setAttribute("open", "");
      await shown.updateComplete;
    },
  },
];

function write(form: CksElement, selector: string, text: string): void {
  const control = form.renderRoot.querySelector<HTMLInputElement>(selector);
  if (!control) throw new Error(`The form does not have ${selector}.`);
  control.value = text;
  control.dispatchEvent(new Event("input", { bubbles: true }));
}
