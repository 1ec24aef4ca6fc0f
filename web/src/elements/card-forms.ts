// The forms of the approval card: review, edit, reject and answer.

import { html, type TemplateResult } from "lit";
import { differences, isObject } from "../core/json.js";
import type { Decision, Escalation, Subject } from "../core/model.js";
import { callInputs, schemaOf, shownAmount } from "../core/subject.js";
import { commentIsRequired, type CksApprovalCard } from "./approval-card.js";
import { icon } from "./icons.js";
import type { FieldHint, FormChange } from "./schema-form.js";

export type FormMode = Decision;

export interface FormState {
  commentMissing: boolean;
  /** The inputs as the user changed them. Undefined before the first change. */
  edited: unknown;
  onEdited: (value: unknown) => void;
  onSend: () => void;
  onClose: () => void;
}

/** The form of a decision. */
export function decisionForm(
  card: CksApprovalCard,
  escalation: Escalation,
  mode: FormMode,
  state: FormState,
): TemplateResult {
  const isWithdrawal = mode === "reject" && escalation.userId === card.userId;
  const titles = {
    approve: "card.review.title",
    edit: "card.edit.title",
    reject: isWithdrawal ? "card.withdraw.title" : "card.reject.title",
    respond: "card.respond.title",
  } as const;
  const labels = {
    approve: "card.review.send",
    edit: "card.send.edit",
    reject: isWithdrawal ? "card.send.withdraw" : "card.send.reject",
    respond: "card.send.respond",
  } as const;
  const submit = (event: Event) => {
    event.preventDefault();
    state.onSend();
  };
  return html`<form
    class="decision stack"
    novalidate
    @submit=${submit}
    aria-labelledby="form-title"
  >
    <h3 id="form-title" tabindex="-1">${card.t(titles[mode])}</h3>
    ${
      card.formFailed
        ? html`<p class="error row" role="alert">${icon("alert")}${card.t("card.form.failed")}</p>`
        : ""
    }
    ${mode === "approve" ? review(card, escalation) : ""}
    ${mode === "edit" ? editForm(card, escalation, state) : ""}
    ${mode === "respond" ? answerForm(card, escalation) : ""}
    ${commentField(card, escalation, mode, state)}
    <div class="row actions">
      <button
        type="submit"
        class=${mode === "reject" ? "danger" : "primary"}
        ?disabled=${!card.mayDecide(mode)}
      >
        ${card.t(labels[mode])}
      </button>
      <button type="button" @click=${state.onClose}>${card.t("common.back")}</button>
    </div>
  </form>`;
}

/** The second look at a decision of high risk. */
function review(card: CksApprovalCard, escalation: Escalation): TemplateResult {
  const amount = shownAmount(escalation);
  return html`${
      amount
        ? html`<p class="review-amount">
            <span class="muted">${card.untrusted(amount.hint.label)}</span>
            ${card.shownValue(amount)}
          </p>`
        : ""
    }
    <p>${card.t("card.review.text", { hash: escalation.subjectHash.slice(0, 12) })}</p>`;
}

function editForm(card: CksApprovalCard, escalation: Escalation, state: FormState): TemplateResult {
  const { subject } = escalation;
  const call = callInputs(subject) ?? { inputs: {}, pointer: "/inputs" };
  const schema = isObject(escalation.answerSchema)
    ? escalation.answerSchema
    : memoised(call.inputs, () => schemaOf(call.inputs));
  const changes = state.edited === undefined ? [] : differences(call.inputs, state.edited);
  const onChange = (event: CustomEvent<FormChange>) => state.onEdited(event.detail.value);
  return html`<p class="muted">${card.t("card.edit.note")}</p>
    <cks-schema-form
      .texts=${card.texts}
      .locale=${card.locale}
      .schema=${schema}
      .value=${call.inputs}
      .hints=${memoised(subject, () => hintsOf(subject, call.pointer))}
      .errors=${answerErrors(card)}
      @cks-change=${onChange}
    ></cks-schema-form>
    <div class="stack tight" aria-live="polite">
      <h4>${card.t("card.edit.changes")}</h4>
      ${
        changes.length === 0
          ? html`<p class="muted">${card.t("card.edit.unchanged")}</p>`
          : card.differenceList(changes, (pointer) => card.labelAt(call.pointer + pointer))
      }
    </div>`;
}

function answerForm(card: CksApprovalCard, { answerSchema }: Escalation): TemplateResult {
  const schema = isObject(answerSchema) ? answerSchema : ANY_TEXT;
  return html`<cks-schema-form
    .texts=${card.texts}
    .locale=${card.locale}
    .schema=${schema}
    .errors=${answerErrors(card)}
  ></cks-schema-form>`;
}

const ANY_TEXT = { type: "string", minLength: 1, maxLength: 2000 };

/** The errors of the answer that the API returned, with pointers into the answer. */
function answerErrors(card: CksApprovalCard): { pointer: string; detail: string }[] {
  const { progress } = card;
  if (progress?.state !== "refused") return [];
  const errors = progress.problem.errors ?? [];
  return errors.map(({ pointer, detail }) => ({
    pointer: pointer.replace(/^\/answer/, ""),
    detail,
  }));
}

function commentField(
  card: CksApprovalCard,
  escalation: Escalation,
  mode: FormMode,
  { commentMissing }: FormState,
): TemplateResult {
  const isRequired = commentIsRequired(escalation, mode, card.userId);
  const key = isRequired ? "card.comment.required" : "card.comment";
  return html`<div class="field">
    <label for="comment">${card.t(key)}</label>
    <textarea
      id="comment"
      rows="3"
      maxlength="2000"
      aria-required=${isRequired ? "true" : "false"}
      aria-invalid=${commentMissing ? "true" : "false"}
      aria-describedby=${commentMissing ? "comment-error" : ""}
    ></textarea>
    ${
      commentMissing
        ? html`<p class="error row" id="comment-error">
            ${icon("alert")}${card.t("card.comment.missing")}
          </p>`
        : ""
    }
  </div>`;
}

/** The presentation of the inputs, by pointers into them. */
function hintsOf({ display }: Subject, base: string): Record<string, FieldHint> {
  const inInputs = (pointer: string) => pointer.startsWith(`${base}/`);
  const entries = (display ?? [])
    .filter(({ pointer }) => inInputs(pointer))
    .map(({ pointer, label, kind, unit, currencyPointer }) => {
      const hint: FieldHint = { label, kind };
      if (unit) hint.unit = unit;
      if (currencyPointer && inInputs(currencyPointer)) {
        hint.currency = currencyPointer.slice(base.length);
      }
      return [pointer.slice(base.length), hint] as const;
    });
  return Object.fromEntries(entries);
}

const memory = new WeakMap<object, unknown>();

/** A value that stays the same object while its source does, so that a form keeps its input. */
function memoised<T>(source: object, make: () => T): T {
  if (!memory.has(source)) memory.set(source, make());
  return memory.get(source) as T;
}
