import { css, html, type TemplateResult } from "lit";
import type { Task } from "../core/model.js";
import type { EscalationRef } from "./approval-card.js";
import { CksElement } from "./element.js";
import { icon, type Icon } from "./icons.js";
import { half, pause, ring } from "./more-icons.js";
import { base } from "./styles.js";
import { common } from "../texts/en/common.js";
import { conversation } from "../texts/en/conversation.js";
import type { TextTable } from "../texts/texts.js";

/** A task. Its optional fields may be missing. */
export type ShownTask = Omit<Task, "description" | "escalationId" | "dueAt"> &
  Partial<Pick<Task, "description" | "escalationId" | "dueAt">>;

const STATES: Record<Task["status"], { icon: Icon; badge: string }> = {
  pending: { icon: ring, badge: "" },
  running: { icon: half, badge: "accent" },
  completed: { icon: "check", badge: "good" },
  blocked: { icon: pause, badge: "warn" },
};

/**
 * The state of an agent's work, as cards.
 *
 * @fires {CustomEvent<EscalationRef>} cks-select - The user wants to see a task's escalation.
 */
export class CksTaskList extends CksElement {
  static override texts: TextTable = { ...common, ...conversation };

  static override properties = { tasks: { attribute: false } };

  static override styles = [
    base,
    css`
      ul {
        display: grid;
        gap: 0.625rem;
      }
      li {
        align-items: start;
        display: grid;
        gap: 0.25rem 0.875rem;
        grid-template-columns: auto minmax(0, 1fr);
        padding: 0.875rem 1rem;
      }
      .state {
        block-size: 1.75rem;
        border-radius: 50%;
        display: grid;
        inline-size: 1.75rem;
        padding: 0;
        place-items: center;
      }
      .title {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
      .completed .title {
        color: var(--_muted);
      }
      progress {
        accent-color: var(--_good);
        block-size: 0.5rem;
        inline-size: 100%;
      }
    `,
  ];

  declare tasks: readonly ShownTask[];

  constructor() {
    super();
    this.tasks = [];
  }

  override render(): TemplateResult {
    const { tasks } = this;
    const total = tasks.length;
    const done = tasks.filter(({ status }) => status === "completed").length;
    const summary = this.t("tasks.summary", { done, total });
    return html`<section class="stack" aria-labelledby="title">
      <div class="stack tight">
        <div class="row spread">
          <h2 id="title" tabindex="-1">${this.t("tasks.title")}</h2>
          ${total > 0 ? html`<span class="muted">${summary}</span>` : ""}
        </div>
        ${
          total > 0
            ? html`<progress max=${total} value=${done} aria-label=${summary}></progress>`
            : html`<p class="muted">${this.t("tasks.empty")}</p>`
        }
      </div>
      <ul>
        ${tasks.map((task) => this.#card(task))}
      </ul>
    </section>`;
  }

  #card(task: ShownTask): TemplateResult {
    const { status, title, description, requiresHitl, escalationId, updatedAt } = task;
    const state = STATES[status];
    return html`<li class="panel ${status}">
      <span class="badge state ${state.badge}">${icon(state.icon)}</span>
      <div class="stack tight">
        <p class="title">${this.untrusted(title)}</p>
        ${description ? html`<div class="muted">${this.prose(description)}</div>` : ""}
        <p class="muted row">
          <span>${this.t(`tasks.${status}`)}</span>
          ${this.#due(task)}
          <span>${this.t("tasks.updated", { time: this.ago(updatedAt) })}</span>
        </p>
        ${
          requiresHitl && status !== "completed"
            ? html`<p class="row">
                <span class="badge warn">${icon("person")}${this.t("tasks.waits")}</span>
                ${escalationId ? this.#link(escalationId, title) : ""}
              </p>`
            : ""
        }
      </div>
    </li>`;
  }

  #due({ dueAt, status }: ShownTask): TemplateResult | "" {
    if (!dueAt || status === "completed") return "";
    const isOverdue = Date.parse(dueAt) < this.currentTime;
    const key = isOverdue ? "tasks.overdue" : "tasks.due";
    return html`<span class=${isOverdue ? "error" : ""}>
      ${this.t(key, { date: this.formatDateTime(dueAt) })}
    </span>`;
  }

  #link(escalationId: string, title: string): TemplateResult {
    const select = () => this.emit<EscalationRef>("cks-select", { escalationId });
    return html`<button class="quiet" @click=${select}>
      ${this.t("tasks.show")}<span class="hidden-text">: ${this.untrusted(title)}</span>
    </button>`;
  }
}
