import { css, html, type TemplateResult } from "lit";
import type { Escalation, SessionEvent } from "../src/core/model.js";
import type { DecisionProgress } from "../src/core/outcome.js";
import { shownAmount, shownParty } from "../src/core/subject.js";
import { define } from "../src/elements/element.js";
import { icon, type Icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";
import { SubjectElement, subjectStyles } from "../src/elements/subject-view.js";
import { card } from "../src/texts/en/card.js";
import { common } from "../src/texts/en/common.js";
import type { TextTable } from "../src/texts/texts.js";

interface Step {
  icon: Icon;
  badge: string;
  text: TemplateResult | string;
}

/** The requests of the user's conversation, and what became of each. Each opens as a card. */
export class PageRequests extends SubjectElement {
  static override texts: TextTable = { ...common, ...card };

  static override properties = {
    escalations: { attribute: false },
    events: { attribute: false },
    progress: { attribute: false },
  };

  static override styles = [
    base,
    subjectStyles,
    css`
      :host {
        display: grid;
        gap: 0.75rem;
      }
      ul {
        display: grid;
        gap: 0.5rem;
      }
      li {
        background: var(--_surface);
        border: 1px solid var(--_line);
        border-radius: var(--_radius);
      }
      summary {
        color: inherit;
        font-weight: 400;
        padding: 0.625rem 0.875rem;
      }
      .facts {
        align-items: center;
        display: flex;
        flex: 1;
        flex-wrap: wrap;
        gap: 0.25rem 0.75rem;
        justify-content: space-between;
        min-inline-size: 0;
      }
      .amount {
        color: var(--_text);
        font-weight: 650;
      }
      details > div {
        max-block-size: 24rem;
        overflow: auto;
        padding: 0 0.5rem 0.5rem;
      }
    `,
  ];

  declare escalations: readonly Escalation[];
  declare events: readonly SessionEvent[];
  declare progress: ReadonlyMap<string, DecisionProgress>;

  constructor() {
    super();
    this.escalations = [];
    this.events = [];
    this.progress = new Map();
  }

  override render(): TemplateResult {
    return html`<h3 id="title">Your requests</h3>
      <ul aria-labelledby="title">
        ${this.escalations.map((escalation) => this.#row(escalation))}
      </ul>`;
  }

  #row(escalation: Escalation): TemplateResult {
    const { id, status } = escalation;
    const amount = shownAmount(escalation);
    const party = shownParty(escalation);
    const step = this.#step(escalation);
    return html`<li data-status=${status}>
      <details>
        <summary>
          <span class="facts">
            <span class="row">
              ${amount ? html`<span class="amount">${this.shownValue(amount)}</span>` : ""}
              ${party ? html`<span class="muted">${this.shownValue(party)}</span>` : ""}
            </span>
            <span class="badge ${step.badge}" role="status">
              ${icon(step.icon)}<span>${step.text}</span>
            </span>
          </span>
        </summary>
        <div>
          <cks-approval-card
            .escalation=${escalation}
            .progress=${this.progress.get(id)}
            .agents=${this.agents}
            .userId=${this.userId}
          ></cks-approval-card>
        </div>
      </details>
    </li>`;
  }

  #step(escalation: Escalation): Step {
    const { status, decision, decidedBy, decidedByName, claimedBy, claimedUntil } = escalation;
    const by = this.person(decidedBy, decidedByName);
    if (status === "open") {
      const isClaimed = claimedBy && claimedUntil && Date.parse(claimedUntil) > this.currentTime;
      const name = this.person(claimedBy, escalation.claimedByName);
      return isClaimed
        ? { icon: "person", badge: "accent", text: html`${name} is looking at it` }
        : { icon: "clock", badge: "warn", text: "Waits for an approval" };
    }
    if (status !== "resolved")
      return { icon: "cross", badge: "", text: this.t(`status.${status}`) };
    if (decision === "reject") {
      const isOwn = decidedBy === this.userId;
      return isOwn
        ? { icon: "cross", badge: "", text: "Withdrawn" }
        : { icon: "cross", badge: "bad", text: html`Rejected by ${by}` };
    }
    if (decision === "edit") {
      return { icon: "edit", badge: "", text: html`Changed by ${by}, and asked again` };
    }
    const verb = escalation.kind === "confirm" ? "Confirmed" : "Approved";
    const rest = this.#isDone(escalation) ? ", and paid" : "";
    return { icon: "check", badge: "good", text: html`${verb} by ${by}${rest}` };
  }

  /** Whether the agent has reported the result of the call. */
  #isDone({ subject }: Escalation): boolean {
    const { event } = subject as { event?: { id: string } };
    const isOf = (payload: unknown) => (payload as { eventId?: string }).eventId === event?.id;
    return this.events.some(({ type, payload }) => type === "agent_result" && isOf(payload));
  }
}

define("page-requests", PageRequests);
