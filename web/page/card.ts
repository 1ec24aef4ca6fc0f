import { css, html, nothing, type TemplateResult } from "lit";
import { CksElement, define } from "../src/elements/element.js";
import { icon, type Icon } from "../src/elements/icons.js";
import { base } from "../src/elements/styles.js";
import type { CardAction, ChatItem, Widget } from "./thread.js";

interface State {
  icon: Icon;
  badge: string;
}

/** ChatKit's icons of a call, as this page shows them. */
const STATES: Record<string, State> = {
  user: { icon: "clock", badge: "warn" },
  clock: { icon: "clock", badge: "" },
  bolt: { icon: "dot", badge: "accent" },
  "check-circle": { icon: "check", badge: "good" },
  "empty-circle": { icon: "cross", badge: "" },
  "circle-question": { icon: "help", badge: "bad" },
};

/** A text of more characters has a row of its own. */
const SHORT_TEXT = 24;

/** Detail of `page-action`. */
export interface CardClick {
  item: ChatItem;
  action: CardAction;
}

/**
 * The card of a held call: the components of a ChatKit widget that our server sends. All texts are
 * shown as text.
 *
 * @fires {CustomEvent<CardClick>} page-action - The user clicks a button.
 */
export class PageCard extends CksElement {
  static override properties = {
    item: { attribute: false },
    busy: { type: Boolean },
    acting: { type: String },
  };

  static override styles = [
    base,
    css`
      :host {
        container-type: inline-size;
        display: block;
        inline-size: 100%;
      }
      article {
        background: var(--_surface);
        border: 1px solid var(--_line);
        border-radius: var(--_radius);
        box-shadow: var(--_shadow);
        display: grid;
        gap: 0.75rem;
        padding: 0.875rem 1.125rem 1rem;
      }
      article.waits {
        border-color: color-mix(in srgb, var(--_warn) 35%, var(--_line));
      }
      header {
        align-items: center;
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
        justify-content: space-between;
      }
      h3 {
        font-size: 1rem;
      }
      dl {
        display: grid;
        gap: 0.5rem 1.25rem;
        grid-template-columns: repeat(auto-fill, minmax(min(8.5rem, 100%), 1fr));
        line-height: 1.4;
        margin: 0;
      }
      dl > div {
        min-inline-size: 0;
      }
      dl > .wide {
        grid-column: 1 / -1;
      }
      dt {
        color: var(--_muted);
        font-size: 0.75rem;
      }
      dt::first-letter {
        text-transform: uppercase;
      }
      dd {
        font-size: 0.8125rem;
        font-weight: 550;
        margin: 0;
        overflow-wrap: anywhere;
      }
      .danger {
        color: var(--_bad);
        font-weight: 600;
      }
      hr {
        border: 0;
        border-block-start: 1px solid var(--_line);
        inline-size: 100%;
        margin: 0;
      }
      .buttons {
        display: flex;
        flex-wrap: wrap;
        gap: 0.625rem;
      }
    `,
  ];

  declare item: ChatItem | undefined;
  /** Whether an answer is being written. */
  declare busy: boolean;
  /** The type of the action that is being sent. */
  declare acting: string | undefined;

  constructor() {
    super();
    this.busy = false;
  }

  override render(): TemplateResult | typeof nothing {
    const { type, status, children = [] } = this.item?.widget ?? {};
    if (type !== "Card") return nothing;
    const title = children.find((child) => child.type === "Title");
    const state = STATES[status?.icon ?? ""] ?? { icon: "dot", badge: "" };
    return html`<article class=${status?.icon === "user" ? "waits" : ""} aria-labelledby="title">
      <header>
        <h3 id="title">${this.untrusted(title?.value ?? "")}</h3>
        ${
          status
            ? html`<span class="badge ${state.badge}" role="status">
                ${icon(state.icon)}<span>${this.untrusted(status.text.replace(/\.$/, ""))}</span>
              </span>`
            : ""
        }
      </header>
      ${groups(children, status?.text).map((group) => this.#group(group))}
    </article>`;
  }

  #group(group: readonly Widget[]): TemplateResult | typeof nothing {
    const [first] = group;
    switch (first?.type) {
      case "Col":
        return html`<dl>${group.map((field) => this.#field(field))}</dl>`;
      case "Row":
        return html`<div class="buttons">
          ${(first.children ?? []).map((button) => this.#button(button))}
        </div>`;
      case "Divider":
        return html`<hr />`;
      case "Text":
        return html`<p class=${first.color === "danger" ? "danger" : "muted"}>
          ${this.untrusted(first.value ?? "")}
        </p>`;
      default:
        return nothing;
    }
  }

  #field({ children = [] }: Widget): TemplateResult {
    const [label, text] = children.map(({ value }) => value ?? "");
    return html`<div class=${(text?.length ?? 0) > SHORT_TEXT ? "wide" : ""}>
      <dt>${this.untrusted(label ?? "")}</dt>
      <dd>${this.untrusted(text ?? "")}</dd>
    </div>`;
  }

  #button({ label = "", style, onClickAction: action }: Widget): TemplateResult | typeof nothing {
    const { item } = this;
    if (!item || !action) return nothing;
    const isSent = this.acting === action.type;
    // As in ChatKit, an answer blocks what would begin another one.
    const isBlocked = this.acting !== undefined || (this.busy && action.streaming !== false);
    return html`<button
      class=${style === "primary" ? "primary" : ""}
      ?disabled=${isBlocked}
      @click=${() => this.emit<CardClick>("page-action", { item, action })}
    >
      ${isSent ? html`<span class="spinner"></span>` : ""}${label}
    </button>`;
  }
}

/** Puts adjacent labelled texts into one group, without the title and the status of the header. */
function groups(children: readonly Widget[], status: string | undefined): Widget[][] {
  const result: Widget[][] = [];
  for (const child of children) {
    const isStatus = child.type === "Col" && child.children?.at(-1)?.value === status;
    if (child.type === "Title" || isStatus) continue;
    const last = result.at(-1);
    if (child.type === "Col" && last?.[0]?.type === "Col") last.push(child);
    else result.push([child]);
  }
  return result;
}

define("page-card", PageCard);
