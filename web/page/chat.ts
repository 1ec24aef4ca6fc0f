import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { CksElement, define } from "../src/elements/element.js";
import { icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";
import "./card.js";
import { chatStyles } from "./chat-styles.js";
import type { Conversation, ConversationState } from "./conversation.js";
import { textOf, type ChatItem } from "./thread.js";

const SUGGESTIONS = [
  "Pay invoice 2041, 12,000 EUR, to Northwind Paper GmbH",
  "Pay invoice 2042, 480 EUR, to Northwind Paper GmbH",
  "Pay the late fee of invoice 2043, 15 EUR",
  "Explain how a payment is approved",
];

const NOTES: Partial<Record<ConversationState["activity"], string>> = {
  loading: "Reading the conversation…",
  sending: "Sending…",
  offline: "You are offline. The message is sent when the network is back.",
  reconnecting: "The answer broke off. It is taken up again…",
};

/**
 * The messages of a conversation, and a box to write one.
 *
 * @fires {CustomEvent<{text: string}>} page-send - The user sends a message.
 * @fires {CustomEvent<object>} page-stop - The user stops the answer.
 * @fires {CustomEvent<object>} page-kill - The user kills the function that writes the answer.
 */
export class PageChat extends CksElement {
  static override properties = {
    conversation: { attribute: false },
    revision: { state: true },
  };

  static override styles = [base, chatStyles];

  declare conversation: Conversation | undefined;
  declare revision: number;

  #unsubscribe = () => {};
  #isAtEnd = true;
  #growth: ResizeObserver | undefined;

  constructor() {
    super();
    this.revision = 0;
  }

  override willUpdate(changed: PropertyValues): void {
    if (!changed.has("conversation")) return;
    this.#unsubscribe();
    this.#unsubscribe =
      this.conversation?.subscribe(() => (this.revision += 1)) ?? this.#unsubscribe;
  }

  override firstUpdated(): void {
    const log = this.renderRoot.querySelector(".log");
    const items = log?.firstElementChild;
    if (!log || !items) return;
    log.addEventListener("scroll", () => {
      this.#isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    });
    // What is written, and what a card adds, stays in view.
    this.#growth = new ResizeObserver(() => {
      if (this.#isAtEnd) log.scrollTop = log.scrollHeight;
    });
    this.#growth.observe(items);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#unsubscribe();
    this.#growth?.disconnect();
  }

  override render(): TemplateResult {
    const { items = [], unsent, activity = "idle", error } = this.conversation?.state ?? {};
    const isEmpty = items.length === 0 && !unsent && activity !== "loading";
    return html`<div class="log" role="log" aria-label="Conversation" tabindex="0">
        <div class="items">
          ${isEmpty ? this.#welcome() : items.map((_, at) => this.#item(items, at))}
          ${unsent ? html`<div class="message user unsent">${this.prose(unsent)}</div>` : ""}
          ${this.failureNotice(error)}
        </div>
      </div>
      <div>${this.#note(activity)} ${this.#form(activity)}</div>`;
  }

  #welcome(): TemplateResult {
    return html`<div class="welcome">
      <span class="mark">${icon("robot")}</span>
      <div class="stack tight">
        <h3>Ask for a payment</h3>
        <p class="muted">
          Up to 10,000 EUR the agent pays at once. Above that, a second person decides. You confirm
          fees yourself.
        </p>
      </div>
      <div class="suggestions">
        ${SUGGESTIONS.map(
          (text) => html`<button @click=${() => this.#send(text)}>${text}${icon("arrow")}</button>`,
        )}
      </div>
    </div>`;
  }

  #item(items: readonly ChatItem[], at: number): TemplateResult | typeof nothing {
    const item = items[at];
    const next = items[at + 1];
    const isWriting = !next && this.conversation?.state.activity === "writing";
    switch (item?.type) {
      case "user_message":
        return html`<div class="message user">${this.prose(textOf(item))}</div>`;
      case "assistant_message":
        return html`<div class="message agent">
          ${this.prose(textOf(item))}${isWriting ? html`<span class="cursor"></span>` : ""}
        </div>`;
      case "task":
        // The card of a held call shows the same, and more.
        return next?.type === "widget" ? nothing : this.#task(item);
      case "widget":
        return this.#card(item);
      default:
        return nothing;
    }
  }

  #card(item: ChatItem): TemplateResult {
    const { acting, activity } = this.conversation?.state ?? {};
    // While one card is being decided, the others wait.
    const own = acting?.itemId === item.id ? acting.type : "";
    return html`<page-card
      .item=${item}
      ?busy=${activity !== "idle"}
      .acting=${acting ? own : undefined}
    ></page-card>`;
  }

  #task({ task }: ChatItem): TemplateResult {
    const isRunning = task?.status_indicator === "loading";
    const waits = task?.icon === "user";
    const drawing = waits ? "clock" : task?.icon === "check-circle" ? "check" : "dot";
    return html`<div class="step ${waits ? "waits" : ""}">
      ${isRunning ? html`<span class="spinner"></span>` : icon(drawing)}
      ${task?.content ? html`<code>${this.untrusted(task.title ?? "")}</code>` : ""}
      <span>${this.untrusted(task?.content ?? task?.title ?? "")}</span>
    </div>`;
  }

  #note(activity: ConversationState["activity"]): TemplateResult | typeof nothing {
    if (activity === "idle") return nothing;
    if (activity !== "writing") {
      return html`<p class="note muted row" role="status">
        <span class="row"><span class="spinner"></span>${NOTES[activity]}</span>
      </p>`;
    }
    return html`<div class="note muted row">
      <span class="row"><span class="spinner"></span>The agent answers…</span>
      <span class="row">
        <button
          class="quiet"
          title="Kills the process of serve-chatkit. The answer is taken up again."
          @click=${() => this.emit("page-kill", {})}
        >
          Kill the process
        </button>
        <button class="quiet" @click=${() => this.emit("page-stop", {})}>Stop</button>
      </span>
    </div>`;
  }

  #form(activity: ConversationState["activity"]): TemplateResult {
    const isBusy = activity !== "idle";
    return html`<form @submit=${this.#submit}>
      <div class="box">
        <textarea
          id="message"
          rows="1"
          aria-label="Message"
          placeholder="Write a message"
          @keydown=${this.#onKeydown}
        ></textarea>
      </div>
      <button class="primary" ?disabled=${isBusy}>Send</button>
    </form>`;
  }

  #submit = (event: Event): void => {
    event.preventDefault();
    const box = this.renderRoot.querySelector<HTMLTextAreaElement>("#message");
    const text = box?.value.trim();
    if (!box || !text || (this.conversation && this.conversation.state.activity !== "idle")) return;
    box.value = "";
    this.#send(text);
  };

  #onKeydown = (event: KeyboardEvent): void => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
  };

  #send(text: string): void {
    this.#isAtEnd = true;
    this.emit("page-send", { text });
  }
}

define("page-chat", PageChat);
