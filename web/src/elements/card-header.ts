import { html, type TemplateResult } from "lit";
import type { Escalation } from "../core/model.js";
import type { CksApprovalCard } from "./approval-card.js";
import { icon } from "./icons.js";

/** What is asked, by whom, until when, and who works on it. */
export function cardHeader(card: CksApprovalCard, escalation: Escalation): TemplateResult {
  const { kind, subject, risk } = escalation;
  const tool = html`<span class="tool">${card.untrusted(subject.tool ?? "")}</span>`;
  const agent = card.untrusted(card.agentName(subject.agentId));
  const risks = { low: "good", medium: "warn", high: "bad" };
  const riskIcon = risk === "low" ? "dot" : "alert";
  return html`<header class="stack tight">
    <div class="row spread">
      <div class="row">
        <span class="badge ${risks[risk]}">${icon(riskIcon)}${card.t(`risk.${risk}`)}</span>
        ${statusOf(card, escalation)}
      </div>
      ${claim(card, escalation)}
    </div>
    <h2 id="title" tabindex="-1">${card.rich(`card.title.${kind}`, { tool, agent })}</h2>
    <p id="explanation" class="muted">${card.t(`card.explain.${kind}`)}</p>
    <p class="muted row">
      <span class="row tight">
        ${icon("person")}${sentence(card, "card.requestedBy", escalation.userId, escalation.userName)}
      </span>
      ${
        escalation.authorId
          ? html`<span class="row tight">
              ${icon("edit")}${sentence(
                card,
                "card.writtenBy",
                escalation.authorId,
                escalation.authorName,
              )}
            </span>`
          : ""
      }
      ${
        subject.agentId
          ? html`<span class="row tight"
              >${icon("robot")}<span>${card.rich("card.with", { agent })}</span></span
            >`
          : ""
      }
    </p>
  </header>`;
}

function sentence(
  card: CksApprovalCard,
  key: "card.requestedBy" | "card.writtenBy",
  id: string | null,
  name: string | null,
): TemplateResult {
  return html`<span>${card.rich(key, { name: card.person(id, name) })}</span>`;
}

function statusOf(
  card: CksApprovalCard,
  { status, createdAt, expiresAt }: Escalation,
): TemplateResult {
  if (status !== "open") return html`<span class="badge">${card.t(`status.${status}`)}</span>`;
  const left = Date.parse(expiresAt) - card.currentTime;
  const isSoon = left < 3_600_000;
  const expiry =
    left > 0 ? card.t("card.expires", { time: card.duration(left) }) : card.t("card.expired");
  const waiting = card.duration(card.currentTime - Date.parse(createdAt));
  return html`<span class="badge"
      >${icon("clock")}${card.t("card.waiting", { time: waiting })}</span
    >
    <span
      class="badge ${isSoon ? "warn" : ""}"
      title=${card.t("card.expiresAt", { date: card.formatDateTime(expiresAt) })}
      >${expiry}</span
    >`;
}

function claim(card: CksApprovalCard, escalation: Escalation): TemplateResult | "" {
  const { id, claimedBy, claimedUntil, status, mayDecide } = escalation;
  if (status !== "open") return "";
  if (!claimedBy || !claimedUntil || Date.parse(claimedUntil) <= card.currentTime) {
    const mayClaim = mayDecide.decisions.includes("approve");
    if (!mayClaim) return "";
    return html`<button
      class="quiet"
      title=${card.t("card.claim.hint")}
      @click=${() => card.claim(id)}
    >
      ${card.t("card.claim")}
    </button>`;
  }
  const time = card.formatTime(claimedUntil);
  if (claimedBy !== card.userId) {
    const name = card.person(claimedBy, escalation.claimedByName);
    return html`<span class="badge warn">
      ${icon("lock")}<span>${card.rich("card.claimed", { name, time })}</span>
    </span>`;
  }
  return html`<span class="row">
    <span class="badge accent">${icon("lock")}${card.t("card.claimedByYou", { time })}</span>
    <button class="quiet" @click=${() => card.release(id)}>${card.t("card.release")}</button>
  </span>`;
}
