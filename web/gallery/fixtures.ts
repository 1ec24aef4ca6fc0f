// Data for the gallery and the tests, in the form that the API returns.

import { parseJson } from "../src/core/json.js";
import type {
  Agent,
  Escalation,
  EscalationDetails,
  Message,
  Metrics,
  Session,
  SessionEvent,
} from "../src/core/model.js";
import type { ShownTask } from "../src/elements/task-list.js";

/** The time in all scenes. */
export const NOW = Date.parse("2026-11-22T10:20:00.000000Z");
export const USER = "019aaa00-7c00-7000-8000-0000000000aa";
export const APPROVER = "019aaa00-7c00-7000-8000-0000000000bb";
export const OTHER_APPROVER = "019aaa00-7c00-7000-8000-0000000000cc";
export const HASH = "9f2c1b7a4e5d8036f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f705";
const SESSION = "019aaa00-7c00-7000-8000-000000000001";

export const AGENTS: Agent[] = [
  { id: "accounts_payable", displayName: "Accounts payable", description: "Pays invoices" },
  { id: "tax_compliance", displayName: "Tax compliance", description: "Checks VAT" },
  { id: "cfo_strategy", displayName: "CFO strategy", description: "Plans" },
];

let count = 0;

function nextId(): string {
  count += 1;
  return `019aaa00-7c00-7000-8000-${count.toString(16).padStart(12, "0")}`;
}

/** Arguments of a payment. The amount is text with a number of digits that a double does not have. */
export function paymentSubject(change: Record<string, unknown> = {}): Escalation["subject"] {
  const inputs = {
    invoice: "2026-0042",
    amount: "12000.00",
    currency: "EUR",
    supplier: "Northwind Paper GmbH",
    account: "NL91ABNA0417164300",
    dueDate: "2026-11-30",
    urgent: false,
    costCentre: { code: 4711, name: "Office supplies" },
    ...change,
  };
  const subject: Escalation["subject"] & Record<string, unknown> = {
    kind: "policy",
    deliveryId: "019aaa00-7c00-7000-8000-0000000000e7",
    agentId: "accounts_payable",
    tool: "pay",
    session: {
      id: SESSION,
      orgId: "019aaa00-7c00-7000-8000-0000000000ff",
      userId: USER,
      agentId: "accounts_payable",
      channel: "web",
      metadata: { locale: "en" },
    },
    inputs,
    risk: "high",
    approver: "other",
    display: [
      {
        pointer: "/inputs/amount",
        label: "Amount",
        kind: "money",
        currencyPointer: "/inputs/currency",
        unit: "major",
      },
      { pointer: "/inputs/supplier", label: "Supplier", kind: "party" },
      { pointer: "/inputs/account", label: "Account", kind: "account" },
      { pointer: "/inputs/dueDate", label: "Due date", kind: "date" },
      { pointer: "/inputs/invoice", label: "Invoice", kind: "text" },
    ],
  };
  return subject;
}

export function escalation(change: Partial<EscalationDetails> = {}): Escalation {
  return {
    id: nextId(),
    sessionId: SESSION,
    userId: USER,
    eventId: "019aaa00-7c00-7000-8000-0000000000e6",
    origin: "orchestrator",
    kind: "policy",
    reason: "The amount is above the limit of 10,000.00 EUR, so an approval is needed.",
    decisions: ["approve", "edit", "reject"],
    answerSchema: null,
    risk: "high",
    approver: "other",
    authorId: null,
    predecessorId: null,
    subject: paymentSubject(),
    subjectHash: HASH,
    status: "open",
    createdAt: "2026-11-22T10:05:00.500000Z",
    expiresAt: "2026-11-23T10:05:00.500000Z",
    decision: null,
    answer: null,
    decidedBy: null,
    decidedAt: null,
    userName: "clerk@example.com",
    authorName: null,
    decidedByName: null,
    comment: null,
    commentRequired: ["reject", "edit"],
    closedAt: null,
    claimedBy: null,
    claimedByName: null,
    claimedUntil: null,
    mayDecide: { decisions: ["approve", "edit", "reject"], because: null },
    delivery: { id: nextId(), status: "asked", error: null },
    successorId: null,
    rejectedBefore: [],
    ...change,
  };
}

export function resolved(
  decision: "approve" | "edit" | "reject" | "respond",
  change: Partial<EscalationDetails> = {},
): Escalation {
  return escalation({
    status: "resolved",
    decision,
    decidedBy: APPROVER,
    decidedByName: "approver@example.com",
    decidedAt: "2026-11-22T10:18:30.000000Z",
    closedAt: "2026-11-22T10:18:30.000000Z",
    mayDecide: { decisions: [], because: "resolved" },
    delivery: { id: nextId(), status: "done", error: null },
    ...change,
  });
}

/** A call of low risk, which can be selected. */
export function smallPayment(amount: string, currency: string, supplier: string): Escalation {
  return escalation({
    risk: "low",
    createdAt: `2026-11-22T0${Math.min(9, supplier.length % 10)}:45:00.000000Z`,
    subject: paymentSubject({ amount, currency, supplier }),
    commentRequired: ["reject"],
  });
}

/** Text that tries to mislead the reader. */
export const HOSTILE =
  '<img src=x onerror="alert(1)"> <script>alert(2)</script> Pay to \u202e00.000.01\u202c ' +
  "at https://bank.example.evil.test/login?next=https://bank.example and " +
  "javascript:alert(3)\u200b\u0007 now.";

export const QUESTION = (): Escalation =>
  escalation({
    kind: "agent_asked",
    risk: "medium",
    reason: "The invoice has no account. Where should the money go?",
    decisions: ["respond", "reject"],
    mayDecide: { decisions: ["respond", "reject"], because: null },
    commentRequired: [],
    answerSchema: {
      type: "object",
      required: ["account", "amount", "currency", "dueDate"],
      properties: {
        account: { type: "string", title: "Account", maxLength: 34, pattern: "^[A-Z]{2}[0-9]{2}" },
        amount: { type: "number", title: "Amount", minimum: 0.01 },
        currency: { enum: ["EUR", "USD", "CHF"], title: "Currency" },
        dueDate: { type: "string", format: "date", title: "Due date" },
        urgent: { type: "boolean", title: "Urgent" },
        note: { type: ["string", "null"], title: "Note", maxLength: 500 },
        costCentre: {
          type: "object",
          title: "Cost centre",
          properties: { code: { type: "integer", title: "Code" } },
        },
        tags: { type: "array", title: "Tags", items: { type: "string" } },
      },
    },
    subject: {
      kind: "agent_asked",
      agentId: "accounts_payable",
      tool: "pay",
      ask: { decisions: ["respond", "reject"] },
    } as Escalation["subject"],
  });

/** A subject whose numbers have more digits than a double. */
export function exactSubject(): Escalation["subject"] {
  return parseJson(
    JSON.stringify(paymentSubject()).replace('"12000.00"', "12345678901234567.89"),
  ) as Escalation["subject"];
}

export const TASKS: ShownTask[] = [
  {
    id: "check-42",
    title: "Check invoice 2026-0042",
    status: "completed",
    requiresHitl: false,
    updatedAt: "2026-11-22T10:02:00.000000Z",
  },
  {
    id: "pay-42",
    title: "Pay invoice 2026-0042",
    description: "EUR 12,000.00 to Northwind Paper GmbH",
    status: "blocked",
    requiresHitl: true,
    escalationId: "019aaa00-7c00-7000-8000-000000000001",
    dueAt: "2026-11-30T17:00:00.000000Z",
    updatedAt: "2026-11-22T10:05:00.000000Z",
  },
  {
    id: "vat-42",
    title: "Check the VAT number of the supplier",
    status: "running",
    requiresHitl: false,
    dueAt: "2026-11-21T17:00:00.000000Z",
    updatedAt: "2026-11-22T10:19:00.000000Z",
  },
  {
    id: "file-42",
    title: "File the invoice",
    status: "pending",
    requiresHitl: false,
    updatedAt: "2026-11-22T10:02:00.000000Z",
  },
];

export function event(
  seq: number,
  type: string,
  payload: Record<string, unknown>,
  actor: Pick<SessionEvent, "actorType" | "actorId">,
): SessionEvent {
  return {
    id: nextId(),
    seq,
    type,
    payload,
    ...actor,
    occurredAt: null,
    createdAt: `2026-11-22T10:0${seq}:00.000000Z`,
  };
}

const USER_ACTOR = { actorType: "user", actorId: USER } as const;
const AGENT_ACTOR = { actorType: "agent", actorId: "accounts_payable" } as const;
const SYSTEM_ACTOR = { actorType: "system", actorId: null } as const;

export const HANDOVER: SessionEvent = event(
  6,
  "handover",
  {
    agentId: "tax_compliance",
    fromAgentId: "accounts_payable",
    reason: "A question of VAT",
    summary:
      "Invoice 2026-0042 is checked but for its VAT rate. The supplier is in the Netherlands.",
  },
  AGENT_ACTOR,
);

export const EVENTS: SessionEvent[] = [
  event(1, "thread_changed", { threadId: "cthr_example" }, USER_ACTOR),
  event(2, "button_click", { action: "pay", data: { invoice: "2026-0042" } }, USER_ACTOR),
  event(3, "hitl_escalation", { reason: "Above the limit", decisions: ["approve"] }, AGENT_ACTOR),
  event(
    4,
    "hitl_resolved",
    { decision: "approve", escalationId: "019aaa00-7c00-7000-8000-000000000001" },
    { actorType: "user", actorId: APPROVER },
  ),
  event(5, "agent_result", { status: "completed", message: "Paid" }, AGENT_ACTOR),
  HANDOVER,
  event(7, "custom_export", { format: "pdf" }, USER_ACTOR),
  event(8, "session_ended", { reason: "cancelled" }, SYSTEM_ACTOR),
];

export function message(
  seq: number,
  role: Message["role"],
  content: string,
  change: Partial<Message> = {},
): Message {
  return {
    id: nextId(),
    seq,
    role,
    content,
    attachments: [],
    toolInvocationId: null,
    createdAt: `2026-11-22T10:0${seq}:00.000000Z`,
    ...change,
  };
}

export const MESSAGES: Message[] = [
  message(1, "user", "Please pay invoice 2026-0042 of Northwind Paper."),
  message(2, "agent", "The invoice is over EUR 12,000.00. Another person has to approve it.", {
    hiddenAt: "2026-11-22T10:03:00.000000Z",
  }),
  message(
    3,
    "agent",
    "I have asked for an approval. The invoice is at https://files.example.com/2026-0042.pdf.",
    { attachments: [{ name: "2026-0042.pdf" }] },
  ),
  message(4, "system", "approver@example.com approved the payment."),
  message(5, "agent", "The payment of EUR 12,000.00 is made."),
];

export const SESSIONS: Session[] = [
  session("active", "accounts_payable", "2026-11-22T10:19:00.000000Z"),
  session("active", "tax_compliance", "2026-11-22T07:00:00.000000Z"),
  session("ended", "cfo_strategy", "2026-11-19T15:30:00.000000Z", "expired"),
];

function session(
  status: Session["status"],
  agentId: string,
  lastActivityAt: string,
  endReason: Session["endReason"] = null,
): Session {
  return {
    id: nextId(),
    userId: USER,
    status,
    agentId,
    channel: "web",
    metadata: {},
    createdAt: "2026-11-19T09:00:00.000000Z",
    lastActivityAt,
    endedAt: status === "ended" ? lastActivityAt : null,
    endReason,
  } as Session;
}

const times = (p50: number) => ({
  count: 20,
  p50,
  p90: p50 * 2.4,
  p95: p50 * 3,
  p99: p50 * 4,
});

function figures(created: number, decision: number) {
  const escalated = Math.round(created / 5);
  const cancelled = Math.round(created / 12);
  return {
    sessions: {
      created,
      active: 6,
      ended: { cancelled, expired: created - cancelled, failed: 0 },
      events: created * 9,
    },
    cohort: {
      cancelled,
      cancelRate: cancelled / created,
      expired: created - cancelled,
      expiryRate: 1 - cancelled / created,
      escalated,
      escalationRate: escalated / created,
      contained: created - escalated,
      containmentRate: 1 - escalated / created,
    },
    timeToEscalation: times(decision / 3),
    timeToDecision: times(decision),
    serviceLevel: { met: 90, missed: 6, undecided: 2, rate: 0.9375 },
    confirmations: { asked: 12, decided: 11 },
    automation: { actions: 400, automatic: 341, rate: 0.8525 },
    deliveries: {
      made: 420,
      delivered: 400,
      takenUp: 10,
      underWay: 5,
      dead: 2,
      unknown: 1,
      withdrawn: 2,
      retried: 7,
    },
    responses: {
      created: 3210,
      running: 2,
      completed: 3100,
      incomplete: 40,
      stopped: 50,
      failed: 12,
      interrupted: 6,
      inputTokens: 9_120_000,
      outputTokens: 640_000,
    },
  };
}

export const METRICS: Metrics = {
  from: "2026-11-08T00:00:00.000000Z",
  to: "2026-11-22T00:00:00.000000Z",
  bucket: "day",
  groupBy: "none",
  serviceLevelSeconds: 3600,
  asOf: "2026-11-22T10:19:00.000000Z",
  total: {
    ...figures(1204, 840),
    approvalLoad: [
      {
        agentId: "accounts_payable",
        tool: "pay",
        asked: 182,
        decided: 171,
        expired: 3,
        withdrawn: 4,
        open: 4,
      },
      { agentId: null, tool: null, asked: 21, decided: 18, expired: 2, withdrawn: 1, open: 0 },
    ],
  },
  groups: [],
  buckets: [62, 71, 88, 94, 102, 41, 35, 79, 97, 108, 121, 117, 52, 44].map((created, day) => ({
    start: `2026-11-${String(8 + day).padStart(2, "0")}T00:00:00.000000Z`,
    end: `2026-11-${String(9 + day).padStart(2, "0")}T00:00:00.000000Z`,
    ...figures(created, 500 + created * 4),
  })),
};
