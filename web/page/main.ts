// The page of `cargo dev`: a clerk and an approver side by side, and an operator's metrics.

import { css, html, type TemplateResult } from "lit";
import "../src/approval-card.js";
import "../src/handover-banner.js";
import "../src/inbox.js";
import "../src/metrics.js";
import "../src/session-picker.js";
import "../src/task-list.js";
import "../src/timeline.js";
import "../src/transcript.js";
import type { ApiClient } from "../src/core/client.js";
import { CksElement, define } from "../src/elements/element.js";
import { icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";
import "./chat.js";
import "./clerk.js";
import "./desk.js";
import "./ledger.js";
import {
  actionStore,
  clientOf,
  readConfig,
  type LocalConfig,
  type Person,
  type PersonKey,
} from "./local.js";
import "./operator.js";
import "./requests.js";
import { frame } from "./styles.js";

type View = "both" | "clerk" | "desk" | "operator";

const VIEWS: [View, string][] = [
  ["both", "Side by side"],
  ["clerk", "Clerk"],
  ["desk", "Approver"],
  ["operator", "Operator"],
];

const THEMES = ["system", "light", "dark"] as const;

/** The state of the page is in its address, so that a reload and a second browser have it. */
class LocalPage extends CksElement {
  static override properties = {
    config: { state: true },
    failure: { state: true },
    view: { state: true },
    approver: { state: true },
    theme: { state: true },
    revision: { state: true },
  };

  static override styles = [
    base,
    frame,
    css`
      :host {
        block-size: 100dvh;
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
      }
      .top {
        align-items: center;
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem 1.25rem;
        justify-content: space-between;
        padding: 0.875rem clamp(0.75rem, 2vw, 1.5rem);
      }
      .brand {
        align-items: center;
        display: flex;
        gap: 0.75rem;
      }
      .brand img {
        block-size: 2.25rem;
        display: block;
      }
      h1 {
        font-size: 1rem;
        font-weight: 700;
        letter-spacing: -0.015em;
        line-height: 1.3;
        margin: 0;
      }
      main {
        display: grid;
        gap: 0.875rem;
        grid-template-columns: minmax(0, 1fr);
        grid-template-rows: minmax(0, 1fr) auto;
        min-block-size: 0;
        padding: 0 clamp(0.75rem, 2vw, 1.5rem) clamp(0.75rem, 2vw, 1.25rem);
      }
      .both {
        grid-template-columns: minmax(0, 9fr) minmax(0, 11fr);
      }
      page-ledger {
        grid-column: 1 / -1;
      }
      .failure {
        margin: 2rem auto;
        max-inline-size: 40rem;
      }
      @media (max-width: 64rem) {
        :host {
          block-size: auto;
          min-block-size: 100dvh;
        }
        main,
        .both {
          grid-template-columns: minmax(0, 1fr);
          grid-template-rows: auto;
        }
        page-clerk {
          block-size: min(46rem, 90dvh);
        }
        page-desk,
        page-operator {
          block-size: auto;
        }
      }
    `,
  ];

  declare config: LocalConfig | undefined;
  declare failure: unknown;
  declare view: View;
  declare approver: PersonKey;
  declare theme: (typeof THEMES)[number];
  declare revision: number;

  readonly #clients = new Map<string, ApiClient>();
  readonly #actions = actionStore();
  #sessionId: string | undefined;

  constructor() {
    super();
    const query = new URLSearchParams(location.search);
    const chosen = <T extends string>(name: string, all: readonly T[], other: T) =>
      all.find((value) => value === query.get(name)) ?? other;
    this.view = chosen(
      "view",
      VIEWS.map(([view]) => view),
      "both",
    );
    this.approver = chosen<PersonKey>("approver", ["approver", "second_approver"], "approver");
    this.theme = chosen("theme", THEMES, "system");
    this.#sessionId = query.get("session") ?? undefined;
    this.revision = 0;
    this.#showTheme();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    readConfig().then(
      (config) => (this.config = config),
      (error: unknown) => (this.failure = error),
    );
    this.#actions.start().subscribe(() => (this.revision += 1));
  }

  override render(): TemplateResult {
    return html`<header class="top">
        <div class="brand">
          <img src="./icon.svg" alt="" />
          <div>
            <h1>chatkit-sessions</h1>
            <p class="muted">On this machine only</p>
          </div>
        </div>
        <nav class="switch" aria-label="Views">
          ${VIEWS.map(
            ([view, label]) =>
              html`<button
                aria-pressed=${String(view === this.view)}
                @click=${() => this.#set({ view })}
              >
                ${label}
              </button>`,
          )}
        </nav>
        <div class="switch" role="group" aria-label="Colours">
          ${THEMES.map(
            (theme) =>
              html`<button
                aria-pressed=${String(theme === this.theme)}
                @click=${() => this.#set({ theme })}
              >
                ${theme[0]?.toUpperCase()}${theme.slice(1)}
              </button>`,
          )}
        </div>
      </header>
      ${this.#main()}`;
  }

  #main(): TemplateResult {
    if (this.failure) {
      return html`<p class="notice bad failure" role="alert">
        <span class="row">${icon("alert")}The local stack does not respond. Is it running?</span>
      </p>`;
    }
    if (!this.config) return html`<main aria-busy="true"></main>`;
    const isBoth = this.view === "both";
    return html`<main class=${isBoth ? "both" : ""}>
      ${isBoth || this.view === "clerk" ? this.#clerk() : ""}
      ${isBoth || this.view === "desk" ? this.#desk() : ""}
      ${this.view === "operator" ? this.#operator() : ""}
      <page-ledger .actions=${this.#actions.state.data ?? []}></page-ledger>
    </main>`;
  }

  #clerk(): TemplateResult {
    const person = this.#person("clerk");
    return html`<page-clerk
      .client=${this.#client(person)}
      .user=${person}
      .sessionId=${this.#sessionId}
      @page-session=${({ detail }: CustomEvent<{ sessionId: string | undefined }>) => {
        this.#sessionId = detail.sessionId;
        this.#writeAddress();
      }}
    ></page-clerk>`;
  }

  #desk(): TemplateResult {
    return html`<page-desk
      .approvers=${[this.#person("approver"), this.#person("second_approver")]}
      .clientFor=${(person: Person) => this.#client(person)}
      current=${this.approver}
      @page-approver=${({ detail }: CustomEvent<{ key: PersonKey }>) =>
        this.#set({ approver: detail.key })}
    ></page-desk>`;
  }

  #operator(): TemplateResult {
    const person = this.#person("operator");
    return html`<page-operator .client=${this.#client(person)} .user=${person}></page-operator>`;
  }

  #person(key: PersonKey): Person {
    const person = this.config?.people.find((other) => other.key === key);
    if (!person) throw new Error(`The local stack does not have the user ${key}.`);
    return person;
  }

  #client(person: Person): ApiClient {
    const { config } = this;
    if (!config) throw new Error("The local stack has not responded.");
    const client = this.#clients.get(person.key) ?? clientOf(config, person);
    this.#clients.set(person.key, client);
    return client;
  }

  #set(change: Partial<Pick<LocalPage, "view" | "approver" | "theme">>): void {
    Object.assign(this, change);
    this.#showTheme();
    this.#writeAddress();
  }

  #showTheme(): void {
    const { dataset } = document.documentElement;
    if (this.theme === "system") delete dataset["theme"];
    else dataset["theme"] = this.theme;
  }

  #writeAddress(): void {
    const { view, approver, theme } = this;
    const query = new URLSearchParams();
    if (view !== "both") query.set("view", view);
    if (approver !== "approver") query.set("approver", approver);
    if (theme !== "system") query.set("theme", theme);
    if (this.#sessionId) query.set("session", this.#sessionId);
    history.replaceState(null, "", query.size > 0 ? `?${query}` : location.pathname);
  }
}

define("local-page", LocalPage);
