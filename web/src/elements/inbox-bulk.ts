// Approval of several escalations: one decision each, and one outcome each.

import { html, type TemplateResult } from "lit";
import type { Escalation } from "../core/model.js";
import { addDecimals, toMajor } from "../core/amount.js";
import { shownAmount } from "../core/subject.js";
import { icon } from "./icons.js";
import type { CksInbox, DecideAll } from "./inbox.js";

/** Whether an escalation can be approved together with others: only calls of low risk. */
export function maySelect({ risk, status, mayDecide, kind }: Escalation): boolean {
  const isCall = kind === "policy" || kind === "confirm";
  return status === "open" && risk === "low" && isCall && mayDecide.decisions.includes("approve");
}

/** The selection, the question before it is sent, and the outcomes. */
export function bulkPanel(inbox: CksInbox): TemplateResult | "" {
  const selected = inbox.escalations.filter(({ id }) => inbox.checked.has(id));
  if (selected.length === 0) return outcomes(inbox);
  const count = selected.length;
  const tools = new Set(selected.map(({ subject }) => `${subject.agentId}/${subject.tool}`));
  const isAllowed = tools.size === 1;
  const clear = () => (inbox.checked = new Set());
  if (!inbox.isConfirming) {
    return html`<div class="notice bulk">
      <div class="row spread">
        <span id="bulk-title" tabindex="-1" data-focus>
          ${inbox.t("inbox.selected", { count })}
        </span>
        <span class="row">
          <button class="quiet" @click=${clear}>${inbox.t("inbox.bulk.clear")}</button>
          <button
            class="primary"
            ?disabled=${!isAllowed}
            @click=${() => (inbox.isConfirming = true)}
          >
            ${inbox.t("inbox.bulk.approve", { count })}
          </button>
        </span>
      </div>
      ${isAllowed ? "" : html`<p class="muted">${inbox.t("inbox.bulk.rule")}</p>`}
    </div>`;
  }
  const { totals, without } = totalsOf(selected);
  return html`<div class="notice bulk" role="group" aria-labelledby="bulk-title">
    <h3 id="bulk-title" tabindex="-1" data-focus>${inbox.t("inbox.bulk.title", { count })}</h3>
    <p>${inbox.t("inbox.bulk.text")}</p>
    <dl class="totals">
      <dt>${inbox.t("inbox.bulk.totals")}</dt>
      ${[...totals].map(
        ([currency, total]) => html`<dd>${inbox.money(total, currency, "major")}</dd>`,
      )}
      ${without > 0 ? html`<dd>${inbox.t("inbox.bulk.noAmount", { count: without })}</dd>` : ""}
    </dl>
    <div class="row">
      <button class="primary" @click=${() => send(inbox, selected)}>
        ${inbox.t("inbox.bulk.send")}
      </button>
      <button @click=${() => (inbox.isConfirming = false)}>${inbox.t("common.back")}</button>
    </div>
  </div>`;
}

function send(inbox: CksInbox, selected: readonly Escalation[]): void {
  const intents = selected.map(({ id, subjectHash }) => ({
    escalationId: id,
    decision: "approve" as const,
    subjectHash,
  }));
  inbox.bulk = selected.map(({ id }) => id);
  inbox.checked = new Set();
  inbox.isConfirming = false;
  inbox.dispatch<DecideAll>("cks-decide-all", { intents });
}

/** Totals by currency. Amounts of different currencies are never added. */
export function totalsOf(escalations: readonly Escalation[]) {
  const totals = new Map<string, string>();
  let without = 0;
  for (const escalation of escalations) {
    const amount = shownAmount(escalation);
    const { currency, text, hint } = amount ?? {};
    const isKnown = currency !== undefined && /^[A-Z]{3}$/.test(currency);
    const major = isKnown && text ? toMajor(text, currency, hint?.unit ?? "major") : undefined;
    if (major === undefined || currency === undefined) without += 1;
    else totals.set(currency, addDecimals(totals.get(currency) ?? "0", major));
  }
  return { totals, without };
}

function outcomes(inbox: CksInbox): TemplateResult | "" {
  if (inbox.bulk.length === 0) return "";
  return html`<div class="notice bulk" role="status">
    <div class="row spread">
      <h3 id="bulk-title" tabindex="-1" data-focus>${inbox.t("inbox.bulk.outcomes")}</h3>
      <button class="quiet" @click=${() => (inbox.bulk = [])}>${inbox.t("common.close")}</button>
    </div>
    <ol class="outcomes">
      ${inbox.bulk.map((id) => outcome(inbox, id))}
    </ol>
  </div>`;
}

function outcome(inbox: CksInbox, id: string): TemplateResult {
  const progress = inbox.progress.get(id);
  const state = progress?.state ?? "sending";
  const isDone = state === "decided";
  const text = isDone ? inbox.t("done.approve") : inbox.t(`inbox.outcome.${state}`);
  return html`<li class="row">
    ${icon(isDone ? "check" : state === "sending" ? "clock" : "alert")}
    <code class="mono">${id.slice(-6)}</code><span>${text}</span>
    ${
      progress?.state === "refused"
        ? html`<span class="muted">${inbox.problemText(progress.problem)}</span>`
        : ""
    }
    ${
      isDone
        ? ""
        : html`<button
            class="quiet"
            @click=${() => inbox.dispatch("cks-select", { escalationId: id })}
          >
            ${inbox.t("inbox.outcome.show")}
          </button>`
    }
  </li>`;
}
