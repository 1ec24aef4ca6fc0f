import { css, html, type TemplateResult } from "lit";
import type { Message } from "../core/model.js";
import { CksElement } from "./element.js";
import { icon, type Icon } from "./icons.js";
import { gear } from "./more-icons.js";
import { base } from "./styles.js";
import { common } from "../texts/en/common.js";
import { conversation } from "../texts/en/conversation.js";
import type { TextTable } from "../texts/texts.js";

const ICONS: Record<Message["role"], Icon> = { user: "person", agent: "robot", system: gear };

/** The messages of a session. New ones are announced. */
export class CksTranscript extends CksElement {
  static override texts: TextTable = { ...common, ...conversation };

  static override properties = {
    messages: { attribute: false },
  };

  static override styles = [
    base,
    css`
      ol {
        display: grid;
        gap: 0.875rem;
      }
      li {
        border-radius: var(--_radius);
        display: grid;
        gap: 0.25rem;
        inline-size: fit-content;
        max-inline-size: min(100%, 40rem);
        padding: 0.75rem 1rem;
      }
      .user {
        background: var(--_accent-soft);
        justify-self: end;
      }
      .agent {
        background: var(--_surface);
        border: 1px solid var(--_line);
      }
      .system {
        color: var(--_muted);
        padding-block: 0.25rem;
      }
      .removed .text {
        opacity: 0.75;
      }
      @media (forced-colors: active) {
        li {
          border: 1px solid;
        }
      }
    `,
  ];

  declare messages: readonly Message[];

  constructor() {
    super();
    this.messages = [];
  }

  override render(): TemplateResult {
    return html`<section class="stack" aria-labelledby="title">
      <h2 id="title">${this.t("transcript.title")}</h2>
      <div role="log" aria-labelledby="title" tabindex="0">
        ${
          this.messages.length === 0
            ? html`<p class="muted">${this.t("transcript.empty")}</p>`
            : html`<ol>
                ${this.messages.map((message) => this.#message(message))}
              </ol>`
        }
      </div>
    </section>`;
  }

  #message(message: Message): TemplateResult {
    const { role, content, createdAt, hiddenAt, attachments } = message;
    return html`<li class="${role} ${hiddenAt ? "removed" : ""}">
      <p class="muted row">
        ${icon(ICONS[role])}<strong>${this.t(`transcript.${role}`)}</strong>
        <time datetime=${createdAt} title=${this.formatDateTime(createdAt)}>
          ${this.formatTime(createdAt)}
        </time>
      </p>
      <div class="text">${this.prose(content)}</div>
      ${
        attachments.length > 0
          ? html`<p class="muted">
              ${this.t("transcript.attachments", { count: attachments.length })}
            </p>`
          : ""
      }
      ${
        hiddenAt
          ? html`<p class="muted">
              ${this.t("transcript.removed", { date: this.formatDateTime(hiddenAt) })}
            </p>`
          : ""
      }
    </li>`;
  }
}
