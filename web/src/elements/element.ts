import {
  html,
  LitElement,
  type PropertyDeclarations,
  type PropertyValues,
  type TemplateResult,
} from "lit";
import { formatMoney } from "../core/money.js";
import { NoResponseError, ProblemError } from "../core/problem.js";
import type { Agent, Problem } from "../core/model.js";
import type { TextKey } from "../texts/en.js";
import { common } from "../texts/en/common.js";
import {
  formatText,
  hasText,
  localeOf,
  splitTemplate,
  templateOf,
  type Texts,
  type TextTable,
  type Values,
} from "../texts/texts.js";
import { icon } from "./icons.js";
import { prose, value, type Rendered } from "./untrusted.js";

const MINUTE = 60_000;
const UNITS: ["day" | "hour" | "minute", number][] = [
  ["day", 1440 * MINUTE],
  ["hour", 60 * MINUTE],
  ["minute", MINUTE],
];

/** What all elements have: texts, formats, and the current time, by the minute. */
export abstract class CksElement extends LitElement {
  static override properties: PropertyDeclarations = {
    texts: { attribute: false },
    locale: { type: String },
    timeZone: { type: String, attribute: "time-zone" },
    now: { attribute: false },
    agents: { attribute: false },
    userId: { type: String, attribute: "user-id" },
  };

  /** The English texts of this element. */
  static texts: TextTable = common;

  /** The texts in another language. Default: English. */
  declare texts: Texts | undefined;
  /** The locale of numbers and dates, for example `de-CH`. Default: the locale of the texts. */
  declare locale: string | undefined;
  /** The time zone of dates. Default: that of the device. */
  declare timeZone: string | undefined;
  /** The current time in milliseconds. Default: the clock of the device. */
  declare now: number | undefined;
  /** The agents, for their names. */
  declare agents: readonly Agent[];
  /** Id of the user, who is named "you". */
  declare userId: string | undefined;

  #clock: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    this.agents = [];
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#clock = setInterval(() => this.requestUpdate(), MINUTE);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#clock);
  }

  /**
   * Renders. If the control that has the focus disappears, the part marked with `data-focus` gets it,
   * or the title: without a place in the element, the next Tab would begin at the top of the page.
   */
  protected override update(changed: PropertyValues): void {
    const control = this.shadowRoot?.activeElement;
    super.update(changed);
    if (!control || (control.checkVisibility() && !control.matches(":disabled"))) return;
    const find = (selector: string) => this.renderRoot.querySelector<HTMLElement>(selector);
    (find("[data-focus]") ?? find("#title"))?.focus();
  }

  /** Dispatches an event that passes through shadow roots. Returns false if a listener cancels it. */
  protected emit<T>(type: string, detail: T): boolean {
    const init = { detail, bubbles: true, composed: true, cancelable: true };
    return this.dispatchEvent(new CustomEvent(type, init));
  }

  /** The texts that the element shows. */
  get shownTexts(): TextTable {
    return this.texts ?? (this.constructor as typeof CksElement).texts;
  }

  t(key: TextKey, values?: Values): string {
    return formatText(this.shownTexts, key, values);
  }

  /** A text whose placeholders are filled with templates. */
  rich(key: TextKey, values: Record<string, Rendered>, count?: number): Rendered[] {
    return splitTemplate(templateOf(this.shownTexts, key, count)).flatMap(({ literal, name }) =>
      name === undefined ? [literal] : [literal, values[name] ?? ""],
    );
  }

  /** The text of a key that depends on data, or of another key. */
  textOr(key: string, other: TextKey, values?: Values): string {
    return this.t(hasText(this.shownTexts, key) ? key : other, values);
  }

  protected get formatLocale(): string {
    return this.locale || localeOf(this.shownTexts);
  }

  get currentTime(): number {
    return this.now ?? Date.now();
  }

  /** Untrusted text in one line, for example a name. */
  untrusted(text: string): TemplateResult {
    return value(text, (code) => this.t("common.hiddenCharacter", { code }));
  }

  /** Untrusted text of any length. */
  prose(text: string): TemplateResult {
    return prose(
      text,
      (code) => this.t("common.hiddenCharacter", { code }),
      (host) => this.t("common.links.open", { host }),
    );
  }

  agentName(id: string | undefined): string {
    return this.agents.find((agent) => agent.id === id)?.displayName ?? id ?? "";
  }

  person(id: string | null | undefined, name?: string | null): TemplateResult {
    if (id && id === this.userId) return html`${this.t("common.you")}`;
    const short = `${(id ?? "").slice(0, 8)}…`;
    return this.untrusted(name ?? this.t("common.unknownPerson", { id: short }));
  }

  /** A time with its zone. */
  dateTime(time: string): TemplateResult {
    return html`<time datetime=${time}>${this.formatDateTime(time)}</time>`;
  }

  formatDateTime(time: string): string {
    const date = new Date(time);
    if (Number.isNaN(date.getTime())) return time;
    const options: Intl.DateTimeFormatOptions = {
      dateStyle: undefined,
      year: "numeric",
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      timeZoneName: "short",
      timeZone: this.timeZone,
    };
    return new Intl.DateTimeFormat(this.formatLocale, options).format(date);
  }

  /** A date of the calendar, which does not depend on a zone, or a time. */
  formatDate(text: string): string {
    if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return this.formatDateTime(text);
    const format = new Intl.DateTimeFormat(this.formatLocale, {
      dateStyle: "long",
      timeZone: "UTC",
    });
    const date = new Date(`${text}T00:00:00Z`);
    return Number.isNaN(date.getTime()) ? text : format.format(date);
  }

  formatTime(time: string): string {
    const options: Intl.DateTimeFormatOptions = { timeStyle: "short", timeZone: this.timeZone };
    return new Intl.DateTimeFormat(this.formatLocale, options).format(new Date(time));
  }

  /** A duration in its largest unit, for example "14 minutes" or "< 1 minute". */
  duration(milliseconds: number, unitDisplay: "long" | "short" = "long"): string {
    const size = Math.max(0, milliseconds);
    const [unit, length] = UNITS.find(([, unitLength]) => size >= unitLength) ?? ["minute", MINUTE];
    const count = Math.floor(size / length);
    const options: Intl.NumberFormatOptions = { style: "unit", unit, unitDisplay };
    const text = new Intl.NumberFormat(this.formatLocale, options).format(count || 1);
    return count > 0 ? text : `< ${text}`;
  }

  ago(time: string): string {
    const past = Math.max(0, this.currentTime - Date.parse(time));
    const [unit, length] = UNITS.find(([, unitLength]) => past >= unitLength) ?? ["minute", MINUTE];
    const format = new Intl.RelativeTimeFormat(this.formatLocale, { numeric: "auto" });
    return format.format(-Math.floor(past / length), unit);
  }

  money(amount: string, currency: string | undefined, unit: "major" | "minor") {
    const money = formatMoney(amount, currency, unit, this.formatLocale);
    const sign = money.isNegative
      ? html`<span aria-hidden="true">−</span
          ><span class="hidden-text">${this.t("common.minus")} </span>`
      : "";
    return html`<span class="number"
      >${sign}<bdi>${money.isNumber ? money.text : this.untrusted(amount)}</bdi>${
        !money.isNumber ? html` <span class="muted">(${this.t("card.notANumber")})</span>` : ""
      }${
        !money.currency
          ? html` <span class="badge warn">${icon("alert")}${this.t("card.noCurrency")}</span>`
          : ""
      }</span
    >`;
  }

  /** What a person can read about a failure. */
  problemText(problem: Partial<Problem>): string {
    const key = `problem.${problem.code ?? ""}`;
    if (hasText(this.shownTexts, key)) return this.t(key);
    const described = [problem.title, problem.detail].filter(Boolean).join(". ");
    return described || this.t("problem.other");
  }

  failureText(failure: unknown): string {
    if (failure instanceof ProblemError) return this.problemText(failure.problem);
    if (failure instanceof NoResponseError) return this.t("problem.noResponse");
    return this.t("problem.other");
  }

  failureNotice(failure: unknown): TemplateResult | "" {
    if (!failure) return "";
    const id = failure instanceof ProblemError ? failure.requestId : undefined;
    return html`<div class="notice bad" role="alert">
      <p class="row">${icon("alert")}${this.failureText(failure)}</p>
      ${id ? html`<p class="muted mono">${this.t("problem.requestId", { id })}</p>` : ""}
    </div>`;
  }
}

/** Defines an element once, also if its module is loaded twice. */
export function define(name: string, element: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, element);
}
