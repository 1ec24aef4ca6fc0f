import { css, html, type TemplateResult } from "lit";
import type { ApiClient } from "../src/core/client.js";
import { metricsStore } from "../src/core/store.js";
import { CksElement, define } from "../src/elements/element.js";
import { base } from "../src/elements/styles.js";
import { POLLING, type Person } from "./local.js";
import { frame } from "./styles.js";

/** The figures of the organisation. */
export class PageOperator extends CksElement {
  static override properties = {
    client: { attribute: false },
    user: { attribute: false },
    revision: { state: true },
  };

  static override styles = [
    base,
    frame,
    css`
      :host,
      .frame {
        block-size: 100%;
        min-block-size: 0;
      }
    `,
  ];

  declare client: ApiClient;
  declare user: Person;
  declare revision: number;

  #metrics: ReturnType<typeof metricsStore> | undefined;

  constructor() {
    super();
    this.revision = 0;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#metrics = metricsStore(
      this.client,
      {},
      { interval: 5 * (POLLING.interval ?? 0) },
    ).start();
    this.#metrics.subscribe(() => (this.revision += 1));
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#metrics?.stop();
  }

  override render(): TemplateResult {
    const { data, error } = this.#metrics?.state ?? {};
    return html`<section class="frame" aria-labelledby="who">
      <header class="bar">
        <span class="avatar" aria-hidden="true">O</span>
        <div class="who">
          <h2 id="who">${this.user.name}</h2>
          <p class="muted">watches how well it goes</p>
        </div>
      </header>
      <div class="scroll">
        <cks-metrics .metrics=${data} .failure=${error}></cks-metrics>
      </div>
    </section>`;
  }
}

define("page-operator", PageOperator);
