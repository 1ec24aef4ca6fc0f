import { css, html, type TemplateResult } from "lit";
import type { Session } from "../core/model.js";
import { CksElement } from "./element.js";
import { icon } from "./icons.js";
import { ring } from "./more-icons.js";
import { base } from "./styles.js";
import { common } from "../texts/en/common.js";
import { conversation } from "../texts/en/conversation.js";
import type { TextTable } from "../texts/texts.js";

/** A session, with the fields that later versions of the API add. */
export type ShownSession = Session;

/** Detail of `cks-resume` and `cks-end-session`. */
export interface SessionRef {
  sessionId: string;
}

/**
 * The user's sessions, to continue one on this device or to end it.
 *
 * @fires {CustomEvent<SessionRef>} cks-resume - The user continues a session here.
 * @fires {CustomEvent<SessionRef>} cks-end-session - The user ends a session.
 * @fires {CustomEvent<object>} cks-new-session - The user starts a session.
 */
export class CksSessionPicker extends CksElement {
  static override texts: TextTable = { ...common, ...conversation };

  static override properties = {
    sessions: { attribute: false },
    currentId: { type: String, attribute: "current-id" },
    failure: { attribute: false },
    confirming: { state: true },
  };

  static override styles = [
    base,
    css`
      ul {
        display: grid;
        gap: 0.625rem;
      }
      li {
        display: grid;
        gap: 0.75rem;
        padding: 0.875rem 1rem;
      }
      .current {
        border-color: var(--_accent);
        box-shadow: inset 0 0 0 1px var(--_accent);
      }
      .title {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
    `,
  ];

  declare sessions: readonly ShownSession[];
  /** The session of this page. */
  declare currentId: string | undefined;
  declare failure: unknown;
  /** The session that the user is asked to end. */
  declare confirming: string | undefined;

  constructor() {
    super();
    this.sessions = [];
  }

  override render(): TemplateResult {
    return html`<section class="stack" aria-labelledby="title">
      <div class="row spread">
        <h2 id="title" tabindex="-1">${this.t("sessions.title")}</h2>
        <button @click=${() => this.emit("cks-new-session", {})}>${this.t("sessions.new")}</button>
      </div>
      ${this.failureNotice(this.failure)}
      ${
        this.sessions.length === 0
          ? html`<p class="muted">${this.t("sessions.empty")}</p>`
          : html`<ul>
              ${this.sessions.map((session) => this.#row(session))}
            </ul>`
      }
    </section>`;
  }

  #row(session: ShownSession): TemplateResult {
    const { id, status, endReason, lastActivityAt, deviceLabel, channel } = session;
    const isCurrent = id === this.currentId;
    const state =
      status === "active" ? "sessions.active" : (`sessions.${endReason ?? "expired"}` as const);
    return html`<li
      class="panel ${isCurrent ? "current" : ""}"
      aria-current=${isCurrent ? "true" : "false"}
    >
      <div class="stack tight">
        <p class="title">${this.#title(session)}</p>
        <p class="muted row">
          <span class="badge ${status === "active" ? "good" : ""}">
            ${icon(status === "active" ? "dot" : ring)}${this.t(state)}
          </span>
          <span>${this.t("sessions.lastActivity", { time: this.ago(lastActivityAt) })}</span>
          ${deviceLabel ? html`<span>${this.untrusted(deviceLabel)}</span>` : ""}
          ${channel === "voice" ? html`<span>${this.t("sessions.voice")}</span>` : ""}
          ${isCurrent ? html`<span class="badge accent">${this.t("sessions.current")}</span>` : ""}
        </p>
      </div>
      ${status === "active" ? this.#actions(session, isCurrent) : ""}
    </li>`;
  }

  #title({ title, agentId }: ShownSession): TemplateResult {
    const agent = this.untrusted(this.agentName(agentId));
    return title ? this.untrusted(title) : html`${this.rich("sessions.untitled", { agent })}`;
  }

  #actions(session: ShownSession, isCurrent: boolean): TemplateResult {
    const detail: SessionRef = { sessionId: session.id };
    const named = html`<span class="hidden-text">: ${this.#title(session)}</span>`;
    if (this.confirming === session.id) {
      const end = () => {
        this.confirming = undefined;
        this.emit("cks-end-session", detail);
      };
      const back = async () => {
        this.confirming = undefined;
        await this.updateComplete;
        this.renderRoot
          .querySelector<HTMLElement>(`[data-end="${CSS.escape(session.id)}"]`)
          ?.focus();
      };
      return html`<div class="notice warn" role="group">
        <p tabindex="-1" data-focus>${this.t("sessions.end.confirm")}</p>
        <div class="row">
          <button class="danger" @click=${end}>${this.t("sessions.end.send")}</button>
          <button @click=${back}>${this.t("common.back")}</button>
        </div>
      </div>`;
    }
    return html`<div class="row">
      ${
        isCurrent
          ? ""
          : html`<button class="primary" @click=${() => this.emit("cks-resume", detail)}>
              ${this.t("sessions.continue")}${named}
            </button>`
      }
      <button class="quiet" data-end=${session.id} @click=${() => (this.confirming = session.id)}>
        ${this.t("sessions.end")}${named}
      </button>
    </div>`;
  }
}
