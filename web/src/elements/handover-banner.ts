import { css, html, nothing, type TemplateResult } from "lit";
import type { SessionEvent } from "../core/model.js";
import { CksElement } from "./element.js";
import { icon } from "./icons.js";
import { base } from "./styles.js";
import { plainText } from "./untrusted.js";
import { common } from "../texts/en/common.js";
import { conversation } from "../texts/en/conversation.js";
import type { TextTable } from "../texts/texts.js";

/** Detail of `cks-handover`: the payload of a `handover` event. */
export interface HandoverRequest {
  agentId: string;
  fromAgentId: string;
  reason?: string;
  summary?: string;
}

/**
 * The latest handover of a session, and a form for the next one.
 *
 * @fires {CustomEvent<HandoverRequest>} cks-handover - The user hands the session over.
 * @fires {CustomEvent<{eventId: string}>} cks-dismiss - The user has read the banner.
 */
export class CksHandoverBanner extends CksElement {
  static override texts: TextTable = { ...common, ...conversation };

  static override properties = {
    agentId: { type: String, attribute: "agent-id" },
    event: { attribute: false },
    isSending: { type: Boolean, attribute: "sending" },
    failure: { attribute: false },
    canHandOver: { type: Boolean, attribute: "can-hand-over" },
    isOpen: { state: true },
  };

  static override styles = [
    base,
    css`
      .banner {
        border-inline-start: 4px solid var(--_accent);
      }
      .path {
        align-items: center;
        display: flex;
        flex-wrap: wrap;
        font-weight: 600;
        gap: 0.5rem;
      }
      .path svg:dir(rtl) {
        transform: scaleX(-1);
      }
      [role="status"]:empty {
        display: none;
      }
      dl {
        display: grid;
        gap: 0.5rem;
      }
      dt {
        color: var(--_muted);
        font-size: 0.8125rem;
      }
    `,
  ];

  /** The session's current agent. */
  declare agentId: string | undefined;
  /** The latest event of the type `handover`. */
  declare event: SessionEvent | undefined;
  declare isSending: boolean;
  /** The failure of the latest handover. */
  declare failure: unknown;
  /** Whether the user may hand the session over. */
  declare canHandOver: boolean;
  declare isOpen: boolean;

  constructor() {
    super();
    this.isSending = false;
    this.canHandOver = false;
    this.isOpen = false;
  }

  override render(): TemplateResult | typeof nothing {
    const others = this.agents.filter(({ id }) => id !== this.agentId);
    const form = this.canHandOver && others.length > 0;
    if (!this.event && !form && !this.failure) return nothing;
    return html`<section
      id="title"
      class="panel stack banner"
      tabindex="-1"
      aria-label=${this.t("handover.title")}
    >
      <div role="status">${this.event ? this.#banner(this.event) : ""}</div>
      ${this.failureNotice(this.failure)} ${form ? this.#form() : ""}
    </section>`;
  }

  #banner(event: SessionEvent): TemplateResult {
    const payload = event.payload as Partial<HandoverRequest>;
    const to = this.untrusted(this.agentName(payload.agentId));
    const from = payload.fromAgentId;
    const part = (key: "handover.reason" | "handover.summary", text: string | undefined) =>
      text
        ? html`<div>
            <dt>${this.t(key)}</dt>
            <dd>${this.prose(text)}</dd>
          </div>`
        : "";
    return html`<div class="stack">
      <div class="row spread">
        <h2>${this.rich("handover.moved", { to })}</h2>
        <button class="quiet" @click=${() => this.emit("cks-dismiss", { eventId: event.id })}>
          ${this.t("handover.dismiss")}
        </button>
      </div>
      <p class="path">
        ${from ? html`${this.untrusted(this.agentName(from))}${icon("arrow")}` : ""}${to}
        <span class="muted">${this.t("handover.at", { time: this.ago(event.createdAt) })}</span>
      </p>
      <dl>
        ${part("handover.reason", payload.reason)} ${part("handover.summary", payload.summary)}
      </dl>
    </div>`;
  }

  #form(): TemplateResult {
    const others = this.agents.filter(({ id }) => id !== this.agentId);
    return html`<details ?open=${this.isOpen}>
      <summary>${this.t("handover.start")}</summary>
      <form class="stack" @submit=${this.#submit}>
        <div class="field">
          <label for="agent">${this.t("handover.to")}</label>
          <select id="agent" name="agent">
            ${others.map(
              ({ id, displayName }) => html`<option value=${id}>${plainText(displayName)}</option>`,
            )}
          </select>
        </div>
        <div class="field">
          <label for="reason">
            ${this.t("handover.reason")} <span class="muted">(${this.t("common.optional")})</span>
          </label>
          <input id="reason" name="reason" maxlength="2000" autocomplete="off" />
        </div>
        <div class="field">
          <label for="summary">
            ${this.t("handover.summary")} <span class="muted">(${this.t("common.optional")})</span>
          </label>
          <textarea id="summary" name="summary" maxlength="8000" rows="3"></textarea>
        </div>
        <div class="row">
          <button class="primary" aria-disabled=${this.isSending ? "true" : nothing}>
            ${this.isSending ? html`<span class="spinner"></span>` : ""}
            ${this.t(this.isSending ? "handover.sending" : "handover.send")}
          </button>
        </div>
      </form>
    </details>`;
  }

  #submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (this.isSending) return;
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => {
      const entry = form.get(name);
      return typeof entry === "string" ? entry.trim() : "";
    };
    const request: HandoverRequest = { agentId: text("agent"), fromAgentId: this.agentId ?? "" };
    if (text("reason")) request.reason = text("reason");
    if (text("summary")) request.summary = text("summary");
    this.emit<HandoverRequest>("cks-handover", request);
  };
}
