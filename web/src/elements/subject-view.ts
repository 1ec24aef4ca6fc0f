// The parts of a subject: the values that its tool presents, and a disclosure with everything else.

import { css, html, type TemplateResult } from "lit";
import { digitsOf, isContainer, type Difference } from "../core/json.js";
import type { Subject } from "../core/model.js";
import { countValues, shownValues, type ShownValue } from "../core/subject.js";
import { CksElement } from "./element.js";
import { safeUrl, link } from "./untrusted.js";

export const subjectStyles = css`
  .shown {
    display: grid;
    gap: 0.875rem 1.5rem;
    grid-template-columns: repeat(auto-fit, minmax(min(12rem, 100%), 1fr));
  }
  .shown > div {
    min-inline-size: 0;
  }
  .shown dt {
    color: var(--_muted);
    font-size: 0.8125rem;
  }
  .shown dd {
    font-weight: 550;
  }
  .shown .hero {
    grid-column: 1 / -1;
  }
  .hero dd {
    font-size: 1.875rem;
    font-weight: 680;
    letter-spacing: -0.02em;
    line-height: 1.25;
  }
  .hero .badge {
    letter-spacing: 0;
    vertical-align: middle;
  }
  .tree {
    border-inline-start: 1px solid var(--_line);
    display: grid;
    gap: 0.375rem;
    margin-inline-start: 0.375rem;
    padding-inline-start: 0.875rem;
  }
  .tree .leaf {
    display: grid;
    gap: 0 1rem;
    grid-template-columns: minmax(6rem, 12rem) minmax(0, 1fr);
  }
  .tree dt {
    color: var(--_muted);
    overflow-wrap: anywhere;
  }
  .tree dd {
    min-inline-size: 0;
    overflow-wrap: anywhere;
  }
  .differences {
    display: grid;
    gap: 0.5rem;
  }
  .differences del,
  .differences ins {
    border-radius: 4px;
    overflow-wrap: anywhere;
    padding: 0 0.25em;
  }
  .differences del {
    background: var(--_bad-soft);
    color: var(--_bad);
  }
  .differences ins {
    background: var(--_good-soft);
    color: var(--_good);
    text-decoration-thickness: 1px;
  }
  @container (max-width: 26rem) {
    .tree .leaf {
      grid-template-columns: minmax(0, 1fr);
    }
    .hero dd {
      font-size: 1.5rem;
    }
  }
`;

/** An element that shows subjects. */
export abstract class SubjectElement extends CksElement {
  /** The values that the tool's registration presents. */
  shown(subject: Subject): TemplateResult | "" {
    const values = shownValues(subject);
    if (values.length === 0) return "";
    const hero = values.find(({ hint }) => hint.kind === "money");
    return html`<dl class="shown" aria-label=${this.t("card.shows")}>
      ${values.map(
        (value) =>
          html`<div class=${value === hero ? "hero" : ""}>
            <dt>${this.untrusted(value.hint.label)}</dt>
            <dd>${this.shownValue(value)}</dd>
          </div>`,
      )}
    </dl>`;
  }

  shownValue({ hint, text, currency }: ShownValue): TemplateResult {
    if (text === undefined) return html`<span class="muted">${this.t("card.missing")}</span>`;
    switch (hint.kind) {
      case "money":
        return this.money(text, currency, hint.unit ?? "major");
      case "date":
        return html`<time datetime=${text}>${this.untrusted(this.formatDate(text))}</time>`;
      case "account":
        return html`<span class="mono">${this.untrusted(grouped(text))}</span>`;
      case "link": {
        const url = safeUrl(text);
        if (!url) return this.untrusted(text);
        const describe = (code: string) => this.t("common.hiddenCharacter", { code });
        const open = (host: string) => this.t("common.links.open", { host });
        return html`<bdi>${link(url, text, describe, open)}</bdi>`;
      }
      case "party":
        return this.untrusted(text);
      case "text":
        return this.prose(text);
    }
  }

  /** The whole subject but its presentation, behind one disclosure. */
  everything(subject: Subject): TemplateResult {
    const { display: _display, ...rest } = subject;
    const count = countValues(rest);
    return html`<details class="everything">
      <summary>${this.t("card.everything", { count })}</summary>
      ${this.tree(rest)}
    </details>`;
  }

  tree(container: object): TemplateResult {
    const keys = Object.keys(container);
    return html`<dl class="tree">
      ${keys.map((key) => {
        const member: unknown = Reflect.get(container, key);
        if (isContainer(member) && Object.keys(member).length > 0) {
          return html`<div>
            <dt>${this.untrusted(key)}</dt>
            <dd>${this.tree(member)}</dd>
          </div>`;
        }
        return html`<div class="leaf">
          <dt>${this.untrusted(key)}</dt>
          <dd>${this.leaf(container, key)}</dd>
        </div>`;
      })}
    </dl>`;
  }

  leaf(container: object, key: string): TemplateResult {
    const member: unknown = Reflect.get(container, key);
    if (typeof member === "string") return this.prose(member);
    const text = digitsOf(container, key) ?? JSON.stringify(member);
    if (isContainer(member)) {
      return html`<span class="muted">${this.t("card.everything.empty")}</span>`;
    }
    return html`<span class="mono"><bdi>${text}</bdi></span>`;
  }

  /** What changed, value by value. */
  differenceList(
    differences: readonly Difference[],
    label: (pointer: string) => string,
  ): TemplateResult {
    const side = (text: string | undefined) =>
      this.untrusted(unquoted(text) ?? this.t("common.none"));
    return html`<dl class="differences">
      ${differences.map(
        ({ pointer, before, after }) =>
          html`<div>
            <dt class="muted">${this.untrusted(label(pointer))}</dt>
            <dd>
              <span class="hidden-text">${this.t("card.before")}</span>
              <del>${side(before)}</del>
              <span class="hidden-text">${this.t("card.after")}</span>
              <ins>${side(after)}</ins>
            </dd>
          </div>`,
      )}
    </dl>`;
  }
}

/** A text without the quotes of JSON. */
function unquoted(json: string | undefined): string | undefined {
  const value: unknown = json?.startsWith('"') ? JSON.parse(json) : json;
  return value === "" ? json : (value as string | undefined);
}

/** An account number in groups of four, as on paper. */
function grouped(account: string): string {
  return /^[A-Z]{2}\d{2}[A-Z0-9]{8,30}$/.test(account)
    ? account.replace(/(.{4})(?=.)/g, "$1 ")
    : account;
}
