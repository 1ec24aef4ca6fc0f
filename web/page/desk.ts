import { css, html, type PropertyValues, type TemplateResult } from "lit";
import { connectInbox } from "../src/core/actions.js";
import type { ApiClient } from "../src/core/client.js";
import { InboxStore } from "../src/core/inbox.js";
import { agentStore } from "../src/core/store.js";
import { CksElement, define } from "../src/elements/element.js";
import type { CksInbox } from "../src/elements/inbox.js";
import { base } from "../src/elements/styles.js";
import { following, type Person } from "./local.js";
import { frame } from "./styles.js";

/** An approver's desk. Two approvers share this page, as if each sat at a desk. */
export class PageDesk extends CksElement {
  static override properties = {
    approvers: { attribute: false },
    clientFor: { attribute: false },
    current: { type: String },
    open: { state: true },
  };

  static override styles = [
    base,
    frame,
    css`
      :host {
        block-size: 100%;
        min-block-size: 0;
      }
      .frame {
        block-size: 100%;
        container: desk / inline-size;
      }
      @container desk (max-width: 50rem) {
        cks-inbox::part(filters) {
          display: none;
        }
      }
    `,
  ];

  declare approvers: readonly Person[];
  declare clientFor: (person: Person) => ApiClient;
  /** The approver whose desk is shown. */
  declare current: string;
  declare open: number;

  #end = () => {};

  constructor() {
    super();
    this.open = 0;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#end();
  }

  override updated(changed: PropertyValues): void {
    if (changed.has("current")) this.#connect();
  }

  override render(): TemplateResult {
    const person = this.#person;
    return html`<section class="frame" aria-labelledby="who">
      <header class="bar">
        <span class="avatar" aria-hidden="true">${initials(person.name)}</span>
        <div class="who">
          <h2 id="who">${person.name}</h2>
          <p class="muted">decides what others ask for</p>
        </div>
        <div class="switch" role="group" aria-label="Desk of">
          ${this.approvers.map(
            ({ key, name }) =>
              html`<button
                aria-pressed=${String(key === this.current)}
                @click=${() => this.emit("page-approver", { key })}
              >
                ${name}
              </button>`,
          )}
        </div>
      </header>
      <div class="scroll"><cks-inbox user-id=${person.id}></cks-inbox></div>
    </section>`;
  }

  get #person(): Person {
    const [first] = this.approvers;
    return this.approvers.find(({ key }) => key === this.current) ?? (first as Person);
  }

  #connect(): void {
    this.#end();
    const view = this.renderRoot.querySelector<CksInbox>("cks-inbox");
    if (!view) return;
    const client = this.clientFor(this.#person);
    const store = new InboxStore({ client, ...following(client, this.#person) });
    const disconnect = connectInbox(view, store);
    // Who opens a request has seen that it arrived.
    const acknowledge = () => store.acknowledgeArrivals();
    view.addEventListener("cks-select", acknowledge);
    const agents = agentStore(client).start();
    agents.subscribe(({ data }) => (view.agents = data ?? []));
    store.start();
    this.#end = () => {
      disconnect();
      view.removeEventListener("cks-select", acknowledge);
      agents.stop();
      store.stop();
    };
  }
}

function initials(name: string): string {
  return name
    .split(" ")
    .map((word) => word[0] ?? "")
    .join("")
    .toUpperCase();
}

define("page-desk", PageDesk);
