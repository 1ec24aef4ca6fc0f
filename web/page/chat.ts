import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { CksElement, define } from "../src/elements/element.js";
import { icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";
import type { Conversation, ConversationState } from "./conversation.js";
import { textOf, type ChatItem } from "./thread.js";

const SUGGESTIONS = [
  "Pay invoice 2041, 12,000 EUR, to Northwind Paper GmbH",
  "Pay invoice 2042, 480 EUR, to Northwind Paper GmbH",
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

  static override styles = [
    base,
    css`
      :host {
        block-size: 100%;
        display: grid;
        grid-template-rows: minmax(0, 1fr) auto;
        min-block-size: 0;
      }
      .log {
        align-content: start;
        display: grid;
        gap: 0.75rem;
        overflow: auto;
        overscroll-behavior: contain;
        padding: 1.25rem 1.125rem;
      }
      .log:has(.welcome) {
        align-content: center;
      }
      .log:focus-visible {
        outline-offset: -3px;
      }
      .message {
        animation: rise 180ms ease-out;
        border-radius: 16px;
        inline-size: fit-content;
        max-inline-size: min(88%, 36rem);
        padding: 0.625rem 0.9375rem;
      }
      .user {
        background: var(--_accent);
        border-end-end-radius: 5px;
        color: var(--_on-accent);
        justify-self: end;
      }
      .unsent {
        opacity: 0.7;
      }
      .agent {
        background: var(--_raised);
        border: 1px solid var(--_line);
        border-end-start-radius: 5px;
      }
      .step {
        align-items: center;
        color: var(--_muted);
        display: flex;
        flex-wrap: wrap;
        font-size: 0.8125rem;
        gap: 0.5rem;
        padding-inline: 0.25rem;
      }
      .step code {
        background: var(--_raised);
        border: 1px solid var(--_line);
        border-radius: 6px;
        color: var(--_text);
        font-family: var(--cks-mono, ui-monospace, monospace);
        padding: 0 0.375rem;
      }
      .step.waits {
        color: var(--_warn);
        font-weight: 600;
      }
      .welcome {
        align-content: center;
        display: grid;
        gap: 1.25rem;
        justify-items: center;
        padding: 1rem;
        text-align: center;
      }
      .welcome h3 {
        font-size: 1.375rem;
        letter-spacing: -0.02em;
      }
      .welcome .mark {
        background: var(--_accent-soft);
        block-size: 3.25rem;
        border-radius: 16px;
        color: var(--_accent);
        display: grid;
        font-size: 1.5rem;
        inline-size: 3.25rem;
        place-items: center;
      }
      .suggestions {
        display: grid;
        gap: 0.5rem;
        inline-size: min(100%, 30rem);
      }
      .suggestions button {
        border-color: var(--_line);
        font-weight: 500;
        justify-content: space-between;
        text-align: start;
      }
      .suggestions button:hover {
        border-color: var(--_accent);
      }
      .suggestions svg {
        color: var(--_accent);
      }
      form {
        align-items: end;
        display: flex;
        gap: 0.625rem;
        padding: 0.75rem 1.125rem 1.125rem;
      }
      .box {
        background: var(--_surface);
        border: 1px solid var(--_control-line);
        border-radius: 14px;
        display: flex;
        flex: 1;
      }
      .box:focus-within {
        border-color: var(--_accent);
        box-shadow: 0 0 0 3px color-mix(in srgb, var(--_accent) 22%, transparent);
      }
      textarea {
        background: none;
        border: 0;
        field-sizing: content;
        max-block-size: 9rem;
        min-block-size: 2.75rem;
        outline: none;
        padding: 0.625rem 0.875rem;
        resize: none;
      }
      textarea::placeholder {
        color: var(--_muted);
        opacity: 1;
      }
      .note {
        border-block-start: 1px solid var(--_line);
        gap: 0.25rem 0.75rem;
        justify-content: space-between;
        min-block-size: 2.75rem;
        padding-inline: 1.125rem;
      }
      .cursor {
        animation: blink 1s steps(2) infinite;
        background: currentcolor;
        block-size: 1em;
        border-radius: 1px;
        display: inline-block;
        inline-size: 2px;
        margin-inline-start: 2px;
        vertical-align: -0.125em;
      }
      @keyframes blink {
        50% {
          opacity: 0;
        }
      }
      @keyframes rise {
        from {
          opacity: 0;
          transform: translateY(4px);
        }
      }
      @media (prefers-reduced-motion: reduce) {
        .message,
        .cursor {
          animation: none;
        }
      }
      @media (forced-colors: active) {
        .message {
          border: 1px solid;
        }
      }
    `,
  ];

  declare conversation: Conversation | undefined;
  declare revision: number;

  #unsubscribe = () => {};
  #isAtEnd = true;

  constructor() {
    super();
    this.revision = 0;
  }

  override willUpdate(changed: PropertyValues): void {
    const log = this.renderRoot.querySelector(".log");
    this.#isAtEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    if (!changed.has("conversation")) return;
    this.#unsubscribe();
    this.#unsubscribe =
      this.conversation?.subscribe(() => (this.revision += 1)) ?? this.#unsubscribe;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#unsubscribe();
  }

  override updated(): void {
    const log = this.renderRoot.querySelector(".log");
    if (log && this.#isAtEnd) log.scrollTop = log.scrollHeight;
  }

  override render(): TemplateResult {
    const { items = [], unsent, activity = "idle", error } = this.conversation?.state ?? {};
    const isEmpty = items.length === 0 && !unsent && activity !== "loading";
    return html`<div class="log" role="log" aria-label="Conversation" tabindex="0">
        ${isEmpty ? this.#welcome() : items.map((item, at) => this.#item(item, at === items.length - 1))}
        ${unsent ? html`<div class="message user unsent">${this.prose(unsent)}</div>` : ""}
        ${this.failureNotice(error)}
      </div>
      <div>${this.#note(activity)} ${this.#form(activity)}</div>`;
  }

  #welcome(): TemplateResult {
    return html`<div class="welcome">
      <span class="mark">${icon("robot")}</span>
      <div class="stack tight">
        <h3>Ask for a payment</h3>
        <p class="muted">
          Up to 10,000 EUR the agent pays at once. Above, a second person decides.
        </p>
      </div>
      <div class="suggestions">
        ${SUGGESTIONS.map(
          (text) => html`<button @click=${() => this.#send(text)}>${text}${icon("arrow")}</button>`,
        )}
      </div>
    </div>`;
  }

  #item(item: ChatItem, isLast: boolean): TemplateResult | typeof nothing {
    const isWriting = isLast && this.conversation?.state.activity === "writing";
    switch (item.type) {
      case "user_message":
        return html`<div class="message user">${this.prose(textOf(item))}</div>`;
      case "assistant_message":
        return html`<div class="message agent">
          ${this.prose(textOf(item))}${isWriting ? html`<span class="cursor"></span>` : ""}
        </div>`;
      case "task":
        return this.#task(item);
      default:
        return nothing;
    }
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
