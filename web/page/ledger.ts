import { css, html, type TemplateResult } from "lit";
import { CksElement, define } from "../src/elements/element.js";
import { icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";
import type { Action } from "./local.js";

/** What the agent has really paid. It comes from the agent, not from the API. */
export class PageLedger extends CksElement {
  static override properties = { actions: { attribute: false } };

  static override styles = [
    base,
    css`
      section {
        background: var(--_surface);
        border: 1px solid var(--_line);
        border-radius: 18px;
        display: grid;
        gap: 0.5rem 1.5rem;
        grid-template-columns: auto minmax(0, 1fr);
        padding: 0.75rem 1.125rem;
      }
      h2 {
        font-size: 0.9375rem;
      }
      ol {
        align-items: center;
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
      }
      li {
        align-items: center;
        background: var(--_good-soft);
        border-radius: 999px;
        color: var(--_good);
        display: inline-flex;
        font-size: 0.875rem;
        font-weight: 600;
        gap: 0.5rem;
        padding: 0.25rem 0.875rem;
      }
      .empty {
        align-self: center;
      }
      @media (max-width: 40rem) {
        section {
          grid-template-columns: minmax(0, 1fr);
        }
      }
      @media (forced-colors: active) {
        li {
          border: 1px solid;
        }
      }
    `,
  ];

  declare actions: readonly Action[];

  constructor() {
    super();
    this.actions = [];
  }

  override render(): TemplateResult {
    const payments = this.actions.filter(({ kind }) => kind === "paid");
    return html`<section aria-labelledby="title">
      <div>
        <h2 id="title">The agent's ledger</h2>
        <p class="muted">What it has really paid</p>
      </div>
      ${
        payments.length === 0
          ? html`<p class="muted empty">Nothing yet.</p>`
          : html`<ol aria-live="polite">
              ${payments.map(
                ({ data }) =>
                  html`<li>
                    ${icon("check")}<span>Invoice ${this.untrusted(data.invoice)}</span>
                    ${this.money(String(data.amount), "EUR", "major")}
                  </li>`,
              )}
            </ol>`
      }
    </section>`;
  }
}

define("page-ledger", PageLedger);
