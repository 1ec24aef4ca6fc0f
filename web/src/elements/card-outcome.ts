// Notices about a decision's result.

import { html, type TemplateResult } from "lit";
import type { Decision, DecisionIntent, Escalation } from "../core/model.js";
import type { DecisionProgress } from "../core/outcome.js";
import type { CksApprovalCard } from "./approval-card.js";
import { icon } from "./icons.js";
import type { Rendered } from "./untrusted.js";

export interface Outcome {
  /** Announced when the reader is idle. */
  polite: TemplateResult | "";
  /** Announced at once. */
  assertive: TemplateResult | "";
  /** Whether nothing can be decided any more, or not before an answer arrives. */
  isFinal: boolean;
}

export function outcomeOf(
  card: CksApprovalCard,
  escalation: Escalation,
  progress: DecisionProgress | undefined,
): Outcome {
  const closed = escalation.status === "open" ? "" : closedNotice(card, escalation);
  switch (progress?.state) {
    case "sending":
      return { polite: sending(card), assertive: "", isFinal: true };
    case "unknown":
      // A later reading may have found the decision.
      if (closed) break;
      return { polite: "", assertive: unknown(card, progress.intent), isFinal: true };
    case "conflict": {
      const { decision, decidedBy, decidedByName, decidedAt } = progress.winner;
      const values = {
        name: card.person(decidedBy, decidedByName),
        decision: card.t(`done.${decision}`),
        date: card.dateTime(decidedAt),
      };
      const notice = html`<div class="notice warn">
        <h3 class="row">${icon("person")}${card.t("card.conflict.title")}</h3>
        <p>${card.rich("card.conflict.text", values)}</p>
      </div>`;
      return { polite: followUp(card, escalation), assertive: notice, isFinal: true };
    }
    case "refused": {
      if (closed) break;
      const { problem } = progress;
      const notice = html`<div class="notice bad">
        <h3 class="row">${icon("alert")}${card.t("card.refused.title")}</h3>
        <p>${card.problemText(problem)}</p>
        ${
          problem.requestId
            ? html`<p class="muted mono">
                ${card.t("problem.requestId", { id: problem.requestId })}
              </p>`
            : ""
        }
      </div>`;
      return { polite: "", assertive: notice, isFinal: false };
    }
    case "decided":
      if (closed) break;
      return { polite: done(card, progress.decision, ""), assertive: "", isFinal: true };
  }
  return { polite: closed, assertive: "", isFinal: closed !== "" };
}

function sending(card: CksApprovalCard): TemplateResult {
  return html`<p class="notice">
    <span class="row"><span class="spinner"></span>${card.t("card.sending")}</span>
  </p>`;
}

function unknown(card: CksApprovalCard, intent: DecisionIntent): TemplateResult {
  return html`<div class="notice warn">
    <h3 class="row">${icon("help")}${card.t("card.unknown.title")}</h3>
    <p>${card.t("card.unknown.text")}</p>
    <div class="row actions">
      <button class="primary" id="repeat" @click=${() => card.repeat(intent)}>
        ${card.t("card.unknown.repeat")}
      </button>
    </div>
  </div>`;
}

function closedNotice(card: CksApprovalCard, escalation: Escalation): TemplateResult {
  const { status, decision, decidedBy, decidedByName, decidedAt } = escalation;
  if (status !== "resolved" || !decision) {
    const key = status === "expired" ? "card.closed.expired" : "card.closed.withdrawn";
    return html`<p class="notice">
      <span class="row">${icon("clock")}<span>${card.t(key)}</span></span>
    </p>`;
  }
  const by = card.rich("card.decidedBy", {
    decision: card.t(`done.${decision}`),
    name: card.person(decidedBy, decidedByName),
  });
  const at = decidedAt ? card.rich("card.decidedAt", { date: card.dateTime(decidedAt) }) : "";
  return html`${done(card, decision, html`${by} ${at}`)} ${comment(card, escalation)}
  ${followUp(card, escalation)}`;
}

function done(card: CksApprovalCard, decision: Decision, text: Rendered): TemplateResult {
  const isRejection = decision === "reject";
  return html`<p class="notice ${isRejection ? "bad" : "good"}">
    <strong class="row">
      ${icon(isRejection ? "cross" : "check")}<span>${text || card.t(`done.${decision}`)}</span>
    </strong>
  </p>`;
}

function comment(card: CksApprovalCard, escalation: Escalation): TemplateResult | "" {
  if (!escalation.comment) return "";
  const name = card.person(escalation.decidedBy, escalation.decidedByName);
  return html`<div class="claim-text">
    <p class="muted">${card.rich("card.commented", { name })}</p>
    <blockquote>${card.prose(escalation.comment)}</blockquote>
  </div>`;
}

/** The call after the decision, or the request that follows. */
function followUp(card: CksApprovalCard, escalation: Escalation): TemplateResult | "" {
  const { delivery, successorId, status } = escalation;
  if (status === "open") return "";
  if (successorId) {
    return html`<p class="row">
      ${icon("arrow")}${card.t("card.successor")}
      <button class="quiet" @click=${() => card.show(successorId)}>
        ${card.t("card.successor.open")}
      </button>
    </p>`;
  }
  return delivery
    ? html`<p class="row muted">${icon("arrow")}${card.t(`card.delivery.${delivery.status}`)}</p>`
    : "";
}
