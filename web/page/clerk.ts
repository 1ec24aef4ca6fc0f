import { css, html, type TemplateResult } from "lit";
import type { ApiClient } from "../src/core/client.js";
import { InboxStore } from "../src/core/inbox.js";
import type { Agent, DecisionIntent, SessionDetails } from "../src/core/model.js";
import type { FeedOptions } from "../src/core/poller.js";
import {
  agentStore,
  ResourceStore,
  sessionListStore,
  sessionStore,
  transcriptStore,
} from "../src/core/store.js";
import { CksElement, define } from "../src/elements/element.js";
import type { HandoverRequest } from "../src/elements/handover-banner.js";
import type { SessionRef } from "../src/elements/session-picker.js";
import { base } from "../src/elements/styles.js";
import type { CardClick } from "./card.js";
import { Conversation } from "./conversation.js";
import "./hosted.js";
import { following, killFunction, type Person } from "./local.js";
import { frame } from "./styles.js";

const AGENT = "accounts_payable";

type Tab = "chat" | "tasks" | "sessions" | "transcript" | "timeline";

const TABS: [Tab, string][] = [
  ["chat", "Chat"],
  ["tasks", "Tasks"],
  ["sessions", "Conversations"],
  ["transcript", "Transcript"],
  ["timeline", "Timeline"],
];

/** What the page polls about the current session. */
interface SessionStores {
  id: string;
  details: ReturnType<typeof sessionStore>;
  transcript: ReturnType<typeof transcriptStore>;
  requests: InboxStore;
}

/** A clerk's screen: the chat, and the tasks, requests and records of the conversation. */
export class PageClerk extends CksElement {
  static override properties = {
    client: { attribute: false },
    user: { attribute: false },
    sessionId: { type: String, attribute: "session-id" },
    tab: { state: true },
    dismissed: { state: true },
    isHandingOver: { state: true },
    handoverFailure: { state: true },
    sessionFailure: { state: true },
    isWide: { state: true },
    revision: { state: true },
  };

  static override styles = [
    base,
    frame,
    css`
      :host {
        block-size: 100%;
        container: clerk / inline-size;
        min-block-size: 0;
      }
      .frame {
        block-size: 100%;
      }
      .body {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        min-block-size: 0;
      }
      .main {
        display: grid;
        grid-template-rows: minmax(0, 1fr);
        min-block-size: 0;
      }
      .bar .switch button {
        font-size: 0.8125rem;
        padding-inline: 0.625rem;
      }
      .side {
        align-content: start;
        display: grid;
        gap: 1.5rem;
      }
      .body:not([data-tab="chat"]) .main,
      .body[data-tab="chat"] .side {
        display: none;
      }
      @container clerk (min-width: 62rem) {
        .body {
          grid-template-columns: minmax(0, 3fr) minmax(22rem, 2fr);
        }
        .body .main,
        .body[data-tab="chat"] .side {
          display: grid;
        }
        .side {
          background: var(--_raised);
          border-inline-start: 1px solid var(--_line);
        }
        .tab-chat {
          display: none;
        }
      }
    `,
  ];

  declare client: ApiClient;
  declare user: Person;
  /** The session to resume. */
  declare sessionId: string | undefined;
  declare tab: Tab;
  declare dismissed: string | undefined;
  declare isHandingOver: boolean;
  declare handoverFailure: unknown;
  declare sessionFailure: unknown;
  declare isWide: boolean;
  declare revision: number;

  #conversation: Conversation | undefined;
  #stores: SessionStores | undefined;
  #agents: ResourceStore<Agent[]> | undefined;
  #sessions: ReturnType<typeof sessionListStore> | undefined;
  #options: FeedOptions = {};
  #lastSeen = "";
  /** Follows the width at which the styles show two columns. */
  readonly #width = new ResizeObserver(([entry]) => {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.isWide = (entry?.contentRect.width ?? 0) >= 62 * rem;
  });

  constructor() {
    super();
    this.tab = "chat";
    this.revision = 0;
    this.isHandingOver = false;
    this.isWide = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#width.observe(this);
    this.#options = following(this.client, this.user);
    this.#agents = agentStore(this.client).start();
    this.#agents.subscribe(({ data }) => (this.agents = data ?? []));
    this.#sessions = sessionListStore(this.client, { limit: 20 }, this.#options).start();
    this.#sessions.subscribe(() => (this.revision += 1));
    this.#begin(this.sessionId);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#width.disconnect();
    this.#agents?.stop();
    this.#sessions?.stop();
    this.#end();
  }

  override render(): TemplateResult {
    const details = this.#details;
    const agentId = details?.agentId ?? AGENT;
    return html`<section class="frame" aria-labelledby="who">
      <header class="bar">
        <span class="avatar" aria-hidden="true">C</span>
        <div class="who">
          <h2 id="who">${this.user.name}</h2>
          <p class="muted">with ${this.agentName(agentId)}</p>
        </div>
        ${this.#tabs()}
      </header>
      <div class="body" data-tab=${this.tab}>
        <div class="main">${this.#chat()}</div>
        <div class="side scroll">${this.#side(details, agentId)}</div>
      </div>
    </section>`;
  }

  get #details(): SessionDetails | undefined {
    return this.#stores?.details.state.data;
  }

  /** The number of tasks and requests that are not done. */
  get #open(): number {
    const { tasks = [], escalations = [] } = this.#details ?? {};
    return tasks.filter(({ status }) => status !== "completed").length + escalations.length;
  }

  #tabs(): TemplateResult {
    // A wide screen shows the tasks beside the chat.
    const shown = this.isWide && this.tab === "chat" ? "tasks" : this.tab;
    const count = this.#open;
    return html`<div class="switch" role="group" aria-label="Show">
      ${TABS.map(
        ([tab, label]) =>
          html`<button
            class="tab-${tab}"
            aria-pressed=${String(tab === shown)}
            @click=${() => (this.tab = tab)}
          >
            ${label}${tab === "tasks" && count > 0 ? html`<span class="count">${count}</span>` : ""}
          </button>`,
      )}
    </div>`;
  }

  #chat(): TemplateResult {
    if (this.#conversation && !this.#conversation.isSelfHosted) {
      const { session } = this.#conversation.state;
      return html`<page-hosted .agents=${this.agents} .session=${session}></page-hosted>`;
    }
    return html`<page-chat
      .conversation=${this.#conversation}
      @page-send=${({ detail }: CustomEvent<{ text: string }>) =>
        void this.#conversation?.send(detail.text)}
      @page-action=${({ detail: { item, action } }: CustomEvent<CardClick>) =>
        void this.#conversation?.act(item, action)}
      @page-stop=${() => this.#conversation?.stop()}
      @page-kill=${() => void killFunction("serve-chatkit")}
    ></page-chat>`;
  }

  #side(details: SessionDetails | undefined, agentId: string): TemplateResult {
    const people = { [this.user.id]: this.user.name };
    if (this.tab === "transcript") {
      const messages = this.#stores?.transcript.state.data ?? [];
      return html`<cks-transcript .messages=${messages}></cks-transcript>`;
    }
    if (this.tab === "timeline") {
      return html`<cks-timeline
        .events=${[...(details?.events ?? [])].reverse()}
        .agents=${this.agents}
        .names=${people}
      ></cks-timeline>`;
    }
    if (this.tab === "sessions") {
      return html`<cks-session-picker
        .sessions=${this.#sessions?.state.data ?? []}
        .agents=${this.agents}
        .failure=${this.sessionFailure}
        current-id=${this.#stores?.id ?? ""}
        @cks-resume=${({ detail }: CustomEvent<SessionRef>) => this.#begin(detail.sessionId)}
        @cks-new-session=${() => this.#begin(undefined)}
        @cks-end-session=${({ detail }: CustomEvent<SessionRef>) =>
          void this.#endSession(detail.sessionId)}
      ></cks-session-picker>`;
    }
    return html`<cks-task-list .tasks=${details?.tasks ?? []}></cks-task-list>
      ${this.#requests(details)} ${details ? this.#handover(details, agentId) : ""}`;
  }

  #requests(details: SessionDetails | undefined): TemplateResult | "" {
    const { escalations = [], progress } = this.#stores?.requests.state ?? {};
    if (escalations.length === 0) return "";
    return html`<page-requests
      .agents=${this.agents}
      .userId=${this.user.id}
      .escalations=${escalations}
      .events=${details?.events ?? []}
      .progress=${progress ?? new Map()}
      @cks-decide=${({ detail }: CustomEvent<DecisionIntent>) =>
        void this.#stores?.requests.decide(detail)}
    ></page-requests>`;
  }

  #handover(details: SessionDetails, agentId: string): TemplateResult {
    const handovers = details.events.filter(({ type }) => type === "handover");
    const event = handovers.sort((a, b) => a.seq - b.seq).at(-1);
    return html`<cks-handover-banner
      .agents=${this.agents}
      .event=${event?.id === this.dismissed ? undefined : event}
      .failure=${this.handoverFailure}
      agent-id=${agentId}
      ?can-hand-over=${details.status === "active"}
      ?sending=${this.isHandingOver}
      @cks-dismiss=${({ detail }: CustomEvent<{ eventId: string }>) =>
        (this.dismissed = detail.eventId)}
      @cks-handover=${({ detail }: CustomEvent<HandoverRequest>) => void this.#handOver(detail)}
    ></cks-handover-banner>`;
  }

  /** Shows a session, or a new one that the first message opens. */
  #begin(sessionId: string | undefined): void {
    this.#end();
    this.tab = "chat";
    const conversation = new Conversation(this.client, AGENT, sessionId);
    this.#conversation = conversation;
    this.#setSession(sessionId);
    conversation.subscribe(({ session }) => {
      if (session && session.id !== this.#stores?.id) this.#setSession(session.id);
      this.revision += 1;
    });
  }

  #end(): void {
    this.#conversation?.close();
    this.#stopStores();
  }

  #stopStores(): void {
    this.#stores?.details.stop();
    this.#stores?.transcript.stop();
    this.#stores?.requests.stop();
    this.#stores = undefined;
  }

  #setSession(id: string | undefined): void {
    this.#stopStores();
    this.emit("page-session", { sessionId: id });
    if (!id) return;
    const stores: SessionStores = {
      id,
      details: sessionStore(this.client, id, this.#options).start(),
      transcript: transcriptStore(this.client, id, this.#options).start(),
      requests: new InboxStore({
        client: this.client,
        filter: {
          sessionId: id,
          status: ["open", "resolved", "expired", "withdrawn"],
          sort: "newest",
        },
        ...this.#options,
      }).start(),
    };
    this.#stores = stores;
    stores.details.subscribe(({ data }) => this.#onDetails(data));
    stores.transcript.subscribe(() => (this.revision += 1));
    stores.requests.subscribe(() => (this.revision += 1));
  }

  /** The chat may have changed on another device, or by a decision. */
  #onDetails(details: SessionDetails | undefined): void {
    this.revision += 1;
    if (!details || details.lastActivityAt === this.#lastSeen) return;
    this.#lastSeen = details.lastActivityAt;
    void this.#conversation?.observe(details);
    void this.#conversation?.reload();
  }

  async #handOver(request: HandoverRequest): Promise<void> {
    const id = this.#stores?.id;
    if (!id) return;
    this.isHandingOver = true;
    this.handoverFailure = undefined;
    try {
      const event = { id: crypto.randomUUID(), type: "handover" as const, payload: request };
      await this.client.recordEvents(id, [event]);
      await this.#stores?.details.refresh();
    } catch (error) {
      this.handoverFailure = error;
    }
    this.isHandingOver = false;
  }

  async #endSession(id: string): Promise<void> {
    this.sessionFailure = undefined;
    try {
      await this.client.cancelSession(id);
      if (id === this.#stores?.id) this.#begin(undefined);
    } catch (error) {
      this.sessionFailure = error;
    }
    await this.#sessions?.refresh();
  }
}

define("page-clerk", PageClerk);
