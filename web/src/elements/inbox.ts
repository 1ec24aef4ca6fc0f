import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import type { InboxFilter } from "../core/inbox.js";
import type { DecisionIntent, Escalation } from "../core/model.js";
import type { DecisionProgress } from "../core/outcome.js";
import { shownAmount, shownParty } from "../core/subject.js";
import type { CksApprovalCard, EscalationRef } from "./approval-card.js";
import { icon } from "./icons.js";
import { bulkPanel, maySelect } from "./inbox-bulk.js";
import { filterBar } from "./inbox-filter.js";
import { DEFAULT_KEYS, keyList, STEPS, type InboxKeys } from "./inbox-keys.js";
import { inboxStyles } from "./inbox-styles.js";
import { SubjectElement } from "./subject-view.js";
import { base } from "./styles.js";
import { card } from "../texts/en/card.js";
import { common } from "../texts/en/common.js";
import { inbox } from "../texts/en/inbox.js";
import type { TextTable } from "../texts/texts.js";

/** Detail of `cks-decide-all`. */
export interface DecideAll {
  intents: DecisionIntent[];
}

/** Detail of `cks-filter`. */
export interface FilterChange {
  filter: InboxFilter;
}

/**
 * The escalations that wait for a decision: a list, and the chosen one as a card.
 *
 * @fires {CustomEvent<{escalationId: string | undefined}>} cks-select - The user chose an escalation.
 * @fires {CustomEvent<DecisionIntent>} cks-decide - The user made a decision.
 * @fires {CustomEvent<DecideAll>} cks-decide-all - The user approved the selected escalations.
 * @fires {CustomEvent<EscalationRef>} cks-claim - The user claims an escalation.
 * @fires {CustomEvent<EscalationRef>} cks-release - The user releases an escalation.
 * @fires {CustomEvent<FilterChange>} cks-filter - The user wants to see other escalations.
 * @fires {CustomEvent<object>} cks-load-more - The user wants to see more of the list.
 * @fires {CustomEvent<object>} cks-arrivals-seen - The user has seen the new escalations.
 */
export class CksInbox extends SubjectElement {
  static override texts: TextTable = { ...common, ...card, ...inbox };

  static override properties = {
    escalations: { attribute: false },
    selected: { attribute: false },
    selectedId: { type: String, attribute: "selected-id" },
    filter: { attribute: false },
    hasMore: { type: Boolean, attribute: "has-more" },
    isLoading: { type: Boolean, attribute: "loading" },
    failure: { attribute: false },
    arrivals: { attribute: false },
    progress: { attribute: false },
    keys: { attribute: false },
    checked: { state: true },
    isConfirming: { state: true },
    bulk: { state: true },
  };

  static override styles = [base, inboxStyles];

  declare escalations: readonly Escalation[];
  /** The chosen escalation with all its fields. */
  declare selected: Escalation | undefined;
  declare selectedId: string | undefined;
  declare filter: InboxFilter;
  declare hasMore: boolean;
  declare isLoading: boolean;
  /** The latest failure of a request. */
  declare failure: unknown;
  /** Ids of escalations that arrived while the user looks at the list. */
  declare arrivals: readonly string[];
  /** The states of the user's decisions, by the ids of their escalations. */
  declare progress: ReadonlyMap<string, DecisionProgress>;
  /** The keyboard shortcuts. Null turns them off. */
  declare keys: InboxKeys | null;
  /** Ids of the selected escalations. */
  declare checked: ReadonlySet<string>;
  declare isConfirming: boolean;
  /** Ids of the escalations that were approved together, for their outcomes. */
  declare bulk: readonly string[];

  #current: string | undefined;

  constructor() {
    super();
    this.escalations = [];
    this.filter = {};
    this.hasMore = false;
    this.isLoading = false;
    this.arrivals = [];
    this.progress = new Map();
    this.keys = DEFAULT_KEYS;
    this.checked = new Set();
    this.isConfirming = false;
    this.bulk = [];
  }

  override willUpdate(changed: PropertyValues): void {
    if (!changed.has("escalations")) return;
    // A selection holds only what is listed and may still be decided.
    const listed = new Set(this.escalations.filter((e) => maySelect(e)).map(({ id }) => id));
    const kept = [...this.checked].filter((id) => listed.has(id));
    if (kept.length !== this.checked.size) {
      this.checked = new Set(kept);
      this.isConfirming = false;
    }
  }

  override updated(): void {
    // The rows are used again when the list changes, and the one with the focus shows another.
    const row = this.shadowRoot?.activeElement as HTMLElement | null | undefined;
    const id = row?.dataset["id"];
    if (id === undefined || id === this.#current) return;
    const current = this.#button(this.#current);
    if (current) current.focus();
    else this.#setCurrent(id);
  }

  override render(): TemplateResult {
    const { selectedId } = this;
    return html`<section class="inbox ${selectedId ? "has-detail" : ""}" aria-labelledby="title">
      <header class="stack tight">
        <div class="row spread">
          <h2 id="title" tabindex="-1">${this.t("inbox.title")}</h2>
          <p class="muted row">
            ${this.isLoading ? html`<span class="spinner"></span>` : ""} ${this.#count()}
          </p>
        </div>
        ${filterBar(this)}
      </header>
      <div role="status" class="arrivals">${this.#arrivals()}</div>
      ${this.failureNotice(this.failure)}
      <div class="columns">
        <div class="list-column stack" @keydown=${this.#onKeydown}>
          ${bulkPanel(this)} ${this.#list()}
          ${
            this.hasMore
              ? html`<button @click=${() => this.emit("cks-load-more", {})}>
                  ${this.t("common.more")}
                </button>`
              : ""
          }
          ${keyList(this)}
        </div>
        <div class="detail-column" role="region" aria-label=${this.t("inbox.detail")}>
          ${this.#detail()}
        </div>
      </div>
    </section>`;
  }

  /** Emits an event of the element, for its parts. */
  dispatch<T>(type: string, detail: T): void {
    this.emit(type, detail);
  }

  /** The title of an escalation in one line. */
  titleOf({ kind, subject }: Escalation): TemplateResult {
    const tool = this.untrusted(subject.tool ?? "");
    const agent = this.untrusted(this.agentName(subject.agentId));
    return html`${this.rich(`card.title.${kind}`, { tool, agent })}`;
  }

  #count(): string {
    const { length } = this.escalations;
    return this.hasMore
      ? this.t("inbox.countMore", { count: length })
      : this.t("inbox.count", { count: length });
  }

  #arrivals(): TemplateResult | "" {
    const { arrivals, escalations } = this;
    if (arrivals.length === 0) return "";
    const times = escalations.filter(({ id }) => arrivals.includes(id)).map((e) => e.createdAt);
    const oldest = times.sort()[0];
    const age = oldest ? this.duration(this.currentTime - Date.parse(oldest)) : "";
    return html`<div class="notice row">
      <span>${this.t("inbox.arrivals", { count: arrivals.length })}</span>
      ${age ? html`<span class="muted">${this.t("card.waiting", { time: age })}</span>` : ""}
      <button class="quiet" @click=${() => this.emit("cks-arrivals-seen", {})}>
        ${this.t("common.close")}
      </button>
    </div>`;
  }

  #list(): TemplateResult {
    if (this.escalations.length === 0) {
      const isFiltered = Object.keys(this.filter).some((key) => key !== "sort");
      const key = isFiltered ? "inbox.empty.filtered" : "inbox.empty";
      return html`<p class="empty">${this.isLoading ? this.t("common.loading") : this.t(key)}</p>`;
    }
    const isCurrent = ({ id }: Escalation) => id === this.#current;
    const current = this.escalations.find(isCurrent) ?? this.escalations[0];
    return html`<ul aria-label=${this.t("inbox.list")}>
      ${this.escalations.map((escalation) => this.#row(escalation, escalation === current))}
    </ul>`;
  }

  #row(escalation: Escalation, isCurrent: boolean): TemplateResult {
    const { id, risk, createdAt, status } = escalation;
    const amount = shownAmount(escalation);
    const party = shownParty(escalation);
    const isSelected = id === this.selectedId;
    const isNew = this.arrivals.includes(id);
    const waiting = this.duration(this.currentTime - Date.parse(createdAt), "short");
    return html`<li class="item ${isSelected ? "selected" : ""} ${isNew ? "new" : ""}">
      ${
        maySelect(escalation)
          ? html`<label class="select">
              <input
                type="checkbox"
                .checked=${this.checked.has(id)}
                @change=${() => this.toggle(id)}
              />
              <span class="hidden-text">
                ${this.rich("inbox.select", { title: this.titleOf(escalation) })}
              </span>
            </label>`
          : this.escalations.some(maySelect)
            ? html`<span class="select"></span>`
            : ""
      }
      <button
        class="open"
        data-id=${id}
        tabindex=${isCurrent ? "0" : "-1"}
        aria-current=${isSelected ? "true" : nothing}
        @click=${() => this.#open(id)}
        @focus=${() => this.#setCurrent(id)}
      >
        <span class="line">
          <span class="what">${this.titleOf(escalation)}</span>
          ${amount ? html`<span class="amount">${this.shownValue(amount)}</span>` : ""}
        </span>
        <span class="line muted">
          <span class="what">
            ${party ? html`${this.shownValue(party)} · ` : ""}${this.person(
              escalation.userId,
              escalation.userName,
            )}
          </span>
          <span class="facts">
            ${
              risk === "low"
                ? ""
                : html`<span class="risk ${risk}">${icon("alert")}${this.t(`risk.${risk}`)}</span>`
            }
            ${this.#claimed(escalation)}
            ${
              status === "open"
                ? html`<span class="row nowrap">
                    ${icon("clock")}<span class="hidden-text">
                      ${this.t("card.waiting", { time: waiting })}</span
                    ><span aria-hidden="true">${waiting}</span>
                  </span>`
                : html`<span>${this.t(`status.${status}`)}</span>`
            }
          </span>
        </span>
      </button>
    </li>`;
  }

  #claimed({ claimedBy, claimedByName, claimedUntil }: Escalation): TemplateResult | "" {
    if (!claimedBy || !claimedUntil || Date.parse(claimedUntil) <= this.currentTime) return "";
    return html`<span class="row nowrap">
      ${icon("lock")}${this.person(claimedBy, claimedByName)}
    </span>`;
  }

  #detail(): TemplateResult {
    const { selected, selectedId } = this;
    if (!selectedId) return html`<p class="empty">${this.t("inbox.choose")}</p>`;
    if (selected?.id !== selectedId) {
      return this.failure
        ? html`${nothing}`
        : html`<p class="empty">${this.t("common.loading")}</p>`;
    }
    return html`<button class="quiet back" @click=${() => this.#back()}>
        ${this.t("common.back")}
      </button>
      <cks-approval-card
        .texts=${this.texts}
        .locale=${this.locale}
        .timeZone=${this.timeZone}
        .now=${this.now}
        .agents=${this.agents}
        .userId=${this.userId}
        .escalation=${selected}
        .progress=${this.progress.get(selectedId)}
      ></cks-approval-card>`;
  }

  /** Selects an escalation, or removes it from the selection. */
  toggle(id: string): void {
    const escalation = this.escalations.find((other) => other.id === id);
    if (!escalation || !maySelect(escalation)) return;
    const checked = new Set(this.checked);
    if (!checked.delete(id)) checked.add(id);
    this.checked = checked;
    this.isConfirming = false;
  }

  #open(id: string): void {
    this.#setCurrent(id);
    this.emit("cks-select", { escalationId: id });
    void this.#cardReady().then((card) => card?.focus());
  }

  #back(): void {
    const id = this.selectedId;
    this.emit("cks-select", { escalationId: undefined });
    void this.updateComplete.then(() => this.#button(id)?.focus());
  }

  async #cardReady(): Promise<CksApprovalCard | undefined> {
    // The listener of `cks-select` sets the chosen escalation.
    await new Promise((resolve) => setTimeout(resolve));
    await this.updateComplete;
    const card = this.renderRoot.querySelector<CksApprovalCard>("cks-approval-card");
    await card?.updateComplete;
    return card ?? undefined;
  }

  #setCurrent(id: string): void {
    this.#current = id;
    this.requestUpdate();
  }

  #button(id: string | undefined): HTMLElement | null {
    return this.renderRoot.querySelector(`button.open[data-id="${CSS.escape(id ?? "")}"]`);
  }

  #move(step: number): void {
    const ids = this.escalations.map(({ id }) => id);
    const index = ids.indexOf(this.#current ?? "");
    const id = ids[Math.min(ids.length - 1, Math.max(0, index + step))];
    if (id === undefined) return;
    this.#setCurrent(id);
    this.#button(id)?.focus();
  }

  async #edit(): Promise<void> {
    const id = this.#current;
    if (!id) return;
    if (id !== this.selectedId) this.emit("cks-select", { escalationId: id });
    const card = await this.#cardReady();
    if (card?.escalation?.id === id && card.mayDecide("edit")) card.openForm("edit");
  }

  /** Shortcuts work while the list has the focus, and not in its controls for text. */
  #onKeydown = (event: KeyboardEvent): void => {
    const { keys } = this;
    const target = event.target as HTMLElement;
    const isText = target.matches("input:not([type=checkbox]), textarea, select");
    if (isText || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = target.matches(".open") ? STEPS[event.key] : undefined;
    if (step !== undefined) {
      event.preventDefault();
      return this.#move(step);
    }
    if (!keys) return;
    const actions = new Map<string, () => void>([
      [keys.next, () => this.#move(1)],
      [keys.previous, () => this.#move(-1)],
      [keys.edit, () => void this.#edit()],
      [keys.select, () => this.toggle(this.#current ?? "")],
      [keys.help, () => this.#toggleHelp()],
    ]);
    const action = actions.get(event.key);
    if (!action) return;
    event.preventDefault();
    action();
  };

  #toggleHelp(): void {
    const help = this.renderRoot.querySelector("details.keys");
    help?.toggleAttribute("open");
    help?.querySelector<HTMLElement>("summary")?.focus();
  }
}

export type { EscalationRef };
