// Tasks, handover, sessions, transcript, timeline and metrics.

import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import * as fixtures from "../fixtures.js";
import { element, type Example } from "./example.js";

export const others: Example[] = [
  {
    name: "form-server-errors",
    make: () =>
      element("cks-schema-form", {
        schema: fixtures.QUESTION().answerSchema,
        value: { account: "NL91ABNA0417164300", amount: 12000.5, currency: "EUR", note: null },
        hints: {
          "/amount": { label: "Amount", kind: "money", unit: "major", currency: "/currency" },
        },
        errors: [
          { pointer: "/account", detail: "is not an account of the supplier" },
          { pointer: "", detail: "does not match the order" },
        ],
      } as object),
  },
  {
    name: "form-hostile",
    make: () =>
      element("cks-schema-form", {
        schema: {
          type: "object",
          properties: {
            text: { type: "string", title: fixtures.HOSTILE },
            choice: { enum: [fixtures.HOSTILE], title: fixtures.HOSTILE },
          },
        },
        errors: [
          { pointer: "/text", detail: fixtures.HOSTILE },
          { pointer: "", detail: fixtures.HOSTILE },
        ],
      } as object),
  },
  { name: "tasks", make: () => element("cks-task-list", { tasks: fixtures.TASKS } as object) },
  {
    name: "tasks-hostile",
    make: () => element("cks-task-list", { tasks: fixtures.HOSTILE_TASKS } as object),
  },
  { name: "tasks-empty", make: () => element("cks-task-list", {}) },
  {
    name: "handover",
    make: () =>
      element("cks-handover-banner", {
        event: fixtures.HANDOVER,
        agentId: "tax_compliance",
        canHandOver: true,
      } as object),
    prepare: (shown) => shown.renderRoot.querySelector("details")?.setAttribute("open", ""),
  },
  {
    name: "handover-hostile",
    make: () =>
      element("cks-handover-banner", {
        event: fixtures.HOSTILE_HANDOVER,
        agents: [{ id: "other", displayName: fixtures.HOSTILE, description: fixtures.HOSTILE }],
        agentId: fixtures.HOSTILE,
        canHandOver: true,
        isOpen: true,
      } as object),
  },
  {
    name: "handover-sending",
    make: () =>
      element("cks-handover-banner", {
        agentId: "tax_compliance",
        canHandOver: true,
        isSending: true,
        isOpen: true,
      } as object),
  },
  {
    name: "handover-conflict",
    make: () =>
      element("cks-handover-banner", {
        agentId: "tax_compliance",
        failure: new ProblemError(409, { code: "agent_changed" }),
      } as object),
  },
  {
    name: "sessions",
    make: () =>
      element("cks-session-picker", {
        sessions: fixtures.SESSIONS,
        currentId: fixtures.SESSIONS[0]?.id,
      } as object),
  },
  {
    name: "sessions-hostile",
    make: () =>
      element("cks-session-picker", {
        sessions: fixtures.HOSTILE_SESSIONS,
        confirming: fixtures.HOSTILE_SESSIONS[1]?.id,
      } as object),
  },
  { name: "sessions-empty", make: () => element("cks-session-picker", {}) },
  {
    name: "sessions-end",
    make: () =>
      element("cks-session-picker", {
        sessions: fixtures.SESSIONS,
        confirming: fixtures.SESSIONS[1]?.id,
        failure: new NoResponseError(undefined),
      } as object),
  },
  {
    name: "transcript",
    make: () => element("cks-transcript", { messages: fixtures.MESSAGES } as object),
  },
  { name: "transcript-empty", make: () => element("cks-transcript", {}) },
  {
    name: "transcript-hostile",
    make: () =>
      element("cks-transcript", {
        messages: [fixtures.message(1, "agent", fixtures.HOSTILE)],
      } as object),
  },
  {
    name: "timeline",
    make: () =>
      element("cks-timeline", {
        events: fixtures.EVENTS,
        names: { [fixtures.USER]: "clerk@example.com" },
        hasMore: true,
      } as object),
    prepare: (shown) => shown.renderRoot.querySelector("details")?.setAttribute("open", ""),
  },
  {
    name: "timeline-hostile",
    make: () =>
      element("cks-timeline", {
        events: fixtures.HOSTILE_EVENTS,
        names: { [fixtures.HOSTILE]: fixtures.HOSTILE },
      } as object),
    prepare: (shown) => {
      const all = shown.renderRoot.querySelectorAll("details");
      all.forEach((details) => details.setAttribute("open", ""));
    },
  },
  { name: "timeline-empty", make: () => element("cks-timeline", {}) },
  {
    name: "metrics",
    make: () => element("cks-metrics", { metrics: fixtures.METRICS } as object),
    prepare: (shown) => shown.renderRoot.querySelector("details")?.setAttribute("open", ""),
  },
  {
    name: "metrics-hostile",
    make: () =>
      element("cks-metrics", {
        metrics: {
          ...fixtures.METRICS,
          buckets: fixtures.METRICS.buckets.map((one) => ({ ...one, agentId: fixtures.HOSTILE })),
          total: {
            ...fixtures.METRICS.total,
            approvalLoad: fixtures.METRICS.total.approvalLoad.map((row) => ({
              ...row,
              agentId: fixtures.HOSTILE,
              tool: fixtures.HOSTILE,
            })),
          },
        },
      } as object),
    prepare: (shown) => shown.renderRoot.querySelector("details")?.setAttribute("open", ""),
  },
  { name: "metrics-empty", make: () => element("cks-metrics", {}) },
];
