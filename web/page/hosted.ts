import { css, html, type TemplateResult } from "lit";
import type { OpenedSession } from "../src/core/model.js";
import { CksElement, define } from "../src/elements/element.js";
import { icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";

const CODE = `// After a handover, ChatKit.js gets the options of the new provider.
await connectChatKit(chatkit, { session, recorder });`;

/**
 * Stands in for ChatKit.js, which shows the chat of an agent at OpenAI. This page loads nothing from
 * other hosts.
 */
export class PageHosted extends CksElement {
  static override properties = { session: { attribute: false } };

  static override styles = [
    base,
    css`
      :host {
        block-size: 100%;
        display: block;
      }
      section {
        align-content: safe center;
        block-size: 100%;
        display: grid;
        gap: 1.125rem;
        grid-template-columns: minmax(0, 30rem);
        justify-content: center;
        justify-items: center;
        overflow: auto;
        padding: 1.5rem;
        text-align: center;
      }
      section:focus-visible {
        outline-offset: -3px;
      }
      h3 {
        font-size: 1.375rem;
        letter-spacing: -0.02em;
      }
      .mark {
        background: var(--_accent-soft);
        block-size: 3.25rem;
        border-radius: 16px;
        color: var(--_accent);
        display: grid;
        font-size: 1.5rem;
        inline-size: 3.25rem;
        place-items: center;
      }
      dl {
        background: var(--_raised);
        border: 1px solid var(--_line);
        border-radius: var(--_radius);
        display: grid;
        gap: 0.375rem 1rem;
        grid-template-columns: auto minmax(0, 1fr);
        inline-size: 100%;
        margin: 0;
        padding: 0.875rem 1rem;
        text-align: start;
      }
      dt {
        color: var(--_muted);
      }
      dd {
        font-weight: 550;
        margin: 0;
        overflow-wrap: anywhere;
      }
      pre {
        background: var(--_raised);
        border: 1px solid var(--_line);
        border-radius: var(--_radius);
        font-family: var(--cks-mono, ui-monospace, monospace);
        font-size: 0.8125rem;
        inline-size: 100%;
        margin: 0;
        padding: 0.875rem 1rem;
        text-align: start;
        white-space: pre-wrap;
      }
    `,
  ];

  declare session: OpenedSession | undefined;

  override render(): TemplateResult {
    const { agentId, chatkit } = this.session ?? {};
    return html`<section aria-labelledby="title" tabindex="0">
      <span class="mark">${icon("robot")}</span>
      <div class="stack tight">
        <h3 id="title">${this.untrusted(this.agentName(agentId))} has taken over</h3>
        <p class="muted">
          Its chat runs at OpenAI, and ChatKit.js shows it in your own page. Tasks, decisions and
          the transcript of the conversation stay here.
        </p>
      </div>
      ${
        chatkit
          ? html`<dl>
              <dt>Provider</dt>
              <dd>OpenAI</dd>
              <dt>ChatKit session</dt>
              <dd>${this.untrusted(chatkit.sessionId)}</dd>
              <dt>Client secret</dt>
              <dd>valid until ${this.formatTime(chatkit.expiresAt)}</dd>
            </dl>`
          : ""
      }
      <pre><code>${CODE}</code></pre>
      <p class="muted">To continue here, hand the conversation back under “Tasks”.</p>
    </section>`;
  }
}

define("page-hosted", PageHosted);
