import { css, html, nothing, type CSSResultGroup, type TemplateResult } from "lit";
import {
  copyJson,
  digitsOf,
  isObject,
  pointerParts,
  resolvePointer,
  stringifyJson,
} from "../core/json.js";
import type { DisplayHint } from "../core/model.js";
import { formatNumber, parseAmount } from "../core/amount.js";
import { formatMoney } from "../core/money.js";
import {
  fieldsOf,
  validate,
  type Field,
  type FieldError,
  type JsonSchema,
} from "../core/schema.js";
import { CksElement } from "./element.js";
import { applyInput, flatten } from "./form-values.js";
import { icon } from "./icons.js";
import { base } from "./styles.js";
import { plainText } from "./untrusted.js";
import { common } from "../texts/en/common.js";
import { form } from "../texts/en/form.js";
import type { TextTable } from "../texts/texts.js";

/** The presentation of a field. `currency` is the pointer to the currency in the form's value. */
export type FieldHint = Pick<DisplayHint, "label" | "kind" | "unit"> & { currency?: string };

/** Detail of `cks-change`. */
export interface FormChange {
  value: unknown;
  isValid: boolean;
}

/**
 * A form for a JSON Schema. Objects of one level, texts, dates, numbers, amounts, choices and
 * switches have fields; everything else is JSON. Values that are not changed keep their digits.
 *
 * @fires {CustomEvent<FormChange>} cks-change - The user changed a value.
 */
export class CksSchemaForm extends CksElement {
  static override texts: TextTable = { ...common, ...form };

  static override properties = {
    schema: { attribute: false },
    value: { attribute: false },
    hints: { attribute: false },
    errors: { attribute: false },
    disabled: { type: Boolean },
  };

  static override styles: CSSResultGroup = [
    base,
    css`
      .fields {
        display: grid;
        gap: 1rem;
      }
      fieldset {
        border: 1px solid var(--_line);
        border-radius: var(--_radius-small);
        display: grid;
        gap: 1rem;
        margin: 0;
        min-inline-size: 0;
        padding: 0.75rem 1rem 1rem;
      }
      input.amount {
        font-variant-numeric: tabular-nums;
        text-align: end;
      }
    `,
  ];

  /** The JSON Schema (draft 2020-12). */
  declare schema: JsonSchema;
  /** The initial value. */
  declare value: unknown;
  /** The presentation of fields, by their JSON pointers. */
  declare hints: Readonly<Record<string, FieldHint>>;
  /** Errors that the API returned, with JSON pointers into the value. */
  declare errors: readonly { pointer: string; detail: string }[];
  declare disabled: boolean;

  /** What the user wrote, by the pointer of its field. */
  #written = new Map<string, string | boolean>();
  #showErrors = false;

  constructor() {
    super();
    this.schema = {};
    this.value = undefined;
    this.hints = {};
    this.errors = [];
    this.disabled = false;
  }

  override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("schema") || changed.has("value")) this.reset();
  }

  /** Removes what the user wrote. */
  reset(): void {
    this.#written = new Map();
    this.#showErrors = false;
    this.requestUpdate();
  }

  /** The value with the user's changes, and its errors. */
  read(): { value: unknown; errors: FieldError[] } {
    const errors: FieldError[] = [];
    const initial = this.value ?? (isObject(this.schema["properties"]) ? {} : undefined);
    const holder = { value: initial === undefined ? undefined : copyJson(initial) };
    for (const field of flatten(fieldsOf(this.schema))) {
      const written = this.#written.get(field.pointer);
      if (written === undefined) continue;
      const key = applyInput(holder, field, written, {
        initial: this.value,
        isAmount: this.#isAmount(field),
        locale: this.formatLocale,
      });
      if (key) errors.push({ pointer: field.pointer, key });
    }
    if (holder.value === undefined) errors.push({ pointer: "", key: "form.required" });
    if (errors.length === 0) errors.push(...validate(this.schema, holder.value));
    return { value: holder.value, errors };
  }

  /** Shows the errors. Returns the value if it has none; otherwise focuses the first field. */
  submit(): { value: unknown } | undefined {
    const { value, errors } = this.read();
    if (errors.length === 0) return { value };
    this.#showErrors = true;
    this.requestUpdate();
    void this.updateComplete.then(() => {
      this.renderRoot.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
    });
    return undefined;
  }

  override render(): TemplateResult {
    const { errors } = this.read();
    const shown = this.#showErrors ? errors : errors.filter((e) => this.#written.has(e.pointer));
    const fields = fieldsOf(this.schema);
    const pointers = flatten(fields).map(({ pointer }) => pointer);
    const isUnplaced = ({ pointer }: { pointer: string }) => !pointers.includes(pointer);
    const unplaced = [
      ...this.errors.filter(isUnplaced).map(({ detail }) => detail),
      ...shown.filter(isUnplaced).map(({ key }) => this.t(key)),
    ];
    return html`<div class="fields">
      ${unplaced.map((error) => html`<p class="error">${this.untrusted(error)}</p>`)}
      ${fields.map((field) => this.#field(field, shown))}
    </div>`;
  }

  #field(field: Field, errors: readonly FieldError[]): TemplateResult {
    if (field.kind === "group") {
      return html`<fieldset>
        <legend>${this.#label(field)}</legend>
        ${field.fields.map((member) => this.#field(member, errors))}
      </fieldset>`;
    }
    const id = idOf(field);
    const own = errors.find(({ pointer }) => pointer === field.pointer);
    const returned = this.errors.find(({ pointer }) => pointer === field.pointer);
    const error = own ? this.t(own.key, { example: this.#example() }) : returned?.detail;
    const understood = this.#understood(field);
    const described = [understood && `${id}-understood`, error && `${id}-error`];
    const describedBy = described.filter(Boolean).join(" ") || nothing;
    const control = this.#control(field, id, describedBy, error !== undefined);
    const label = html`<label for=${id}>${this.#label(field)}</label>`;
    return html`<div class="field">
      ${field.kind === "boolean" ? html`<div class="check">${control}${label}</div>` : [label, control]}
      ${understood ? html`<p class="muted" id="${id}-understood">${understood}</p>` : ""}
      ${
        error !== undefined
          ? html`<p class="error row" id="${id}-error">${icon("alert")}${this.untrusted(error)}</p>`
          : ""
      }
    </div>`;
  }

  #label(field: Field): TemplateResult {
    const { title } = field.schema;
    const hint = this.hints[field.pointer]?.label;
    const name = field.name || this.t("form.value");
    const label = hint ?? (typeof title === "string" ? title : name);
    const notes = [
      field.kind === "json" ? this.t("form.asJson") : "",
      field.isRequired || field.kind === "boolean" ? "" : this.t("common.optional"),
    ].filter(Boolean);
    return html`${this.untrusted(label)}${
      notes.length > 0 ? html` <span class="muted">(${notes.join(", ")})</span>` : ""
    }`;
  }

  #control(field: Field, id: string, describedBy: string | typeof nothing, isInvalid: boolean) {
    const invalid = isInvalid ? "true" : nothing;
    const required = field.isRequired ? "true" : nothing;
    const text = this.#text(field);
    const write = (event: Event) => {
      const control = event.target as HTMLInputElement;
      const isSwitch = field.kind === "boolean";
      this.#write(field, isSwitch ? control.checked : control.value);
    };
    switch (field.kind) {
      case "boolean":
        return html`<input
          type="checkbox"
          id=${id}
          .checked=${text === "true"}
          ?disabled=${this.disabled}
          aria-describedby=${describedBy}
          aria-invalid=${invalid}
          @change=${write}
        />`;
      case "choice":
        return html`<select
          id=${id}
          ?disabled=${this.disabled}
          aria-required=${required}
          aria-describedby=${describedBy}
          aria-invalid=${invalid}
          @change=${write}
        >
          <option value="" ?selected=${text === ""}>${this.t("form.choose")}</option>
          ${choicesOf(field).map(
            (choice) =>
              html`<option
                value=${stringifyJson(choice)}
                ?selected=${text === stringifyJson(choice)}
              >
                ${plainText(String(choice))}
              </option>`,
          )}
        </select>`;
      case "json":
        return html`<textarea
          id=${id}
          class="mono"
          rows="4"
          spellcheck="false"
          .value=${text}
          ?disabled=${this.disabled}
          aria-required=${required}
          aria-describedby=${describedBy}
          aria-invalid=${invalid}
          @input=${write}
        ></textarea>`;
      case "text":
        if (text.length > 80 || Number(field.schema["maxLength"]) > 200) {
          return html`<textarea
            id=${id}
            rows="3"
            .value=${text}
            ?disabled=${this.disabled}
            aria-required=${required}
            aria-describedby=${describedBy}
            aria-invalid=${invalid}
            @input=${write}
          ></textarea>`;
        }
    }
    const isAmount = this.#isAmount(field);
    const type = field.kind === "date" ? "date" : "text";
    return html`<input
      type=${type}
      id=${id}
      class=${isAmount ? "amount" : ""}
      inputmode=${isAmount ? "decimal" : nothing}
      autocomplete="off"
      .value=${text}
      ?disabled=${this.disabled}
      aria-required=${required}
      aria-describedby=${describedBy}
      aria-invalid=${invalid}
      @input=${write}
    />`;
  }

  #isAmount(field: Field): boolean {
    return field.kind === "number" || this.hints[field.pointer]?.kind === "money";
  }

  /** What a field shows: what the user wrote, or the initial value. */
  #text(field: Field): string {
    const written = this.#written.get(field.pointer);
    if (written !== undefined) return String(written);
    const found = resolvePointer({ value: this.value }, `/value${field.pointer}`);
    if (!found || found.value === undefined) return "";
    const { value, container, key } = found;
    if (field.kind === "choice") return stringifyJson(value);
    if (field.kind === "json") return JSON.stringify(value, null, 2);
    if (value === null) return "";
    const digits =
      typeof value === "string" ? value : (digitsOf(container, key) ?? stringifyJson(value));
    if (!this.#isAmount(field)) return digits;
    return formatNumber(digits, this.formatLocale, this.hints[field.pointer]?.kind === "money");
  }

  /** How an amount is understood, before it counts. */
  #understood(field: Field): string | undefined {
    const hint = this.hints[field.pointer];
    if (!this.#isAmount(field)) return undefined;
    const amount = parseAmount(this.#text(field), this.formatLocale);
    if (amount === undefined) return undefined;
    const currency = hint?.currency === undefined ? undefined : this.#currency(hint.currency);
    if (hint?.kind !== "money" || !currency) return undefined;
    const money = formatMoney(amount, currency, hint.unit ?? "major", this.formatLocale);
    const sign = money.isNegative ? `${this.t("common.minus")} ` : "";
    return this.t("form.understood", { value: sign + money.text });
  }

  /** The currency as the user has written it, or as it was. */
  #currency(pointer: string): string | undefined {
    const written = this.#written.get(pointer);
    const initial = resolvePointer({ value: this.value }, `/value${pointer}`)?.value;
    const currency = written ?? initial;
    return typeof currency === "string" && /^[A-Z]{3}$/.test(currency) ? currency : undefined;
  }

  #example(): string {
    return new Intl.NumberFormat(this.formatLocale).format(1234.5);
  }

  #write(field: Field, written: string | boolean): void {
    this.#written.set(field.pointer, written);
    this.requestUpdate();
    const { value, errors } = this.read();
    this.emit<FormChange>("cks-change", { value, isValid: errors.length === 0 });
  }
}

function choicesOf(field: Field): unknown[] {
  const { enum: choices } = field.schema;
  return Array.isArray(choices) ? choices : [];
}

function idOf(field: Field): string {
  return `field-${
    pointerParts(field.pointer)
      .join("-")
      .replace(/[^\w-]/g, "_") || "value"
  }`;
}
