import { css, html, type TemplateResult } from "lit";
import type { SessionEvent } from "../core/model.js";
import { hasText, type Values } from "../texts/texts.js";
import { icon, type Icon } from "./icons.js";
import { gear } from "./more-icons.js";
import { SubjectElement, subjectStyles } from "./subject-view.js";
import { base } from "./styles.js";
import { card } from "../texts/en/card.js";
import { common } from "../texts/en/common.js";
import { conversation } from "../texts/en/conversation.js";
import type { TextTable } from "../texts/texts.js";

const ICONS: Record<SessionEvent["actorType"], Icon> = {
  user: "person",
  agent: "robot",
  system: gear,
};

/**
 * The events of a session, for an audit.
 *
 * @fires {CustomEvent<object>} cks-load-more - The user wants to see more events.
 */
export class CksTimeline extends SubjectElement {
  static override texts: TextTable = { ...common, ...card, ...conversation };

  static override properties = {
    events: { attribute: false },
    names: { attribute: false },
    hasMore: { type: Boolean, attribute: "has-more" },
  };

  static override styles = [
    base,
    subjectStyles,
    css`
      :host {
        container-type: inline-size;
      }
      ol {
        border-inline-start: 2px solid var(--_line);
        display: grid;
        gap: 0.75rem;
        margin-inline-start: 0.875rem;
      }
      li {
        display: grid;
        gap: 0 0.75rem;
        grid-template-columns: auto minmax(0, 1fr);
      }
      .mark {
        background: var(--_surface);
        block-size: 1.75rem;
        border-radius: 50%;
        display: grid;
        inline-size: 1.75rem;
        margin-inline-start: calc(-0.875rem - 1px);
        padding: 0;
        place-items: center;
      }
      .what {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
    `,
  ];

  declare events: readonly SessionEvent[];
  /** The names of people, by their ids. */
  declare names: Readonly<Record<string, string>>;
  declare hasMore: boolean;

  constructor() {
    super();
    this.events = [];
    this.names = {};
    this.hasMore = false;
  }

  override render(): TemplateResult {
    return html`<section class="stack" aria-labelledby="title">
      <h2 id="title" tabindex="-1">${this.t("timeline.title")}</h2>
      ${
        this.events.length === 0
          ? html`<p class="muted">${this.t("timeline.empty")}</p>`
          : html`<ol>
              ${this.events.map((event) => this.#event(event))}
            </ol>`
      }
      ${
        this.hasMore
          ? html`<button @click=${() => this.emit("cks-load-more", {})}>
              ${this.t("common.more")}
            </button>`
          : ""
      }
    </section>`;
  }

  #event(event: SessionEvent): TemplateResult {
    const { actorType, payload, createdAt } = event;
    const hasDetails = Object.keys(payload).length > 0;
    return html`<li>
      <span class="badge mark">${icon(ICONS[actorType])}</span>
      <div>
        <p class="what">${this.#what(event)}</p>
        <p class="muted row">
          <span>${this.rich("timeline.by", { name: this.#actor(event) })}</span>
          ${this.dateTime(createdAt)} <span class="number">#${event.seq}</span>
        </p>
        ${
          hasDetails
            ? html`<details>
                <summary>
                  ${this.t("timeline.details")}<span class="hidden-text"
                    >: ${this.#what(event)}</span
                  >
                </summary>
                ${this.tree(payload)}
              </details>`
            : ""
        }
      </div>
    </li>`;
  }

  #what({ type, payload }: SessionEvent): TemplateResult {
    const key = `event.${type}`;
    if (!hasText(this.shownTexts, key)) {
      return html`${this.rich("event.other", { type: this.untrusted(type) })}`;
    }
    const facts = payload as Values;
    const decision = `done.${String(facts["decision"])}`;
    const values = {
      action: this.untrusted(String(facts["action"] ?? "")),
      form: this.untrusted(String(facts["form"] ?? "")),
      name: this.untrusted(String(facts["name"] ?? "")),
      agentId: this.untrusted(this.agentName(String(facts["agentId"] ?? ""))),
      decision: hasText(this.shownTexts, decision) ? this.t(decision) : "",
    };
    return html`${this.rich(key, values)}`;
  }

  #actor({ actorType, actorId }: SessionEvent): TemplateResult {
    if (actorType === "system") return html`${this.t("timeline.system")}`;
    if (actorType === "agent") return this.untrusted(this.agentName(actorId ?? ""));
    return this.person(actorId, this.names[actorId ?? ""] ?? null);
  }
}
