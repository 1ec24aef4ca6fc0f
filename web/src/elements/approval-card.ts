import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { differences } from "../core/json.js";
import type { Decision, DecisionIntent, Escalation } from "../core/model.js";
import type { DecisionProgress } from "../core/outcome.js";
import { cardStyles } from "./card-styles.js";
import { decisionForm, type FormMode } from "./card-forms.js";
import { cardHeader } from "./card-header.js";
import { outcomeOf } from "./card-outcome.js";
import { icon } from "./icons.js";
import type { CksSchemaForm } from "./schema-form.js";
import { SubjectElement, subjectStyles } from "./subject-view.js";
import { base } from "./styles.js";
import { card } from "../texts/en/card.js";
import { common } from "../texts/en/common.js";
import type { TextTable } from "../texts/texts.js";

/** Detail of `cks-claim` and `cks-release`. */
export interface EscalationRef {
  escalationId: string;
}

/**
 * A request for a decision: what it releases, who may decide, and what became of the decision. It
 * sends nothing: a listener of `cks-decide` sends the decision and sets `progress`.
 *
 * @fires {CustomEvent<DecisionIntent>} cks-decide - The user made a decision.
 * @fires {CustomEvent<EscalationRef>} cks-claim - The user claims the escalation.
 * @fires {CustomEvent<EscalationRef>} cks-release - The user releases the escalation.
 * @fires {CustomEvent<EscalationRef>} cks-select - The user wants to see another escalation.
 */
export class CksApprovalCard extends SubjectElement {
  static override texts: TextTable = { ...common, ...card };

  static override properties = {
    escalation: { attribute: false },
    progress: { attribute: false },
    mode: { state: true },
    formFailed: { state: true },
  };

  static override styles = [base, subjectStyles, cardStyles];

  /** The escalation that is shown. A decision names its hash. */
  declare escalation: Escalation | undefined;
  /** The state of the user's decision. */
  declare progress: DecisionProgress | undefined;
  /** The open form. */
  declare mode: FormMode | undefined;
  /** Whether the module of the form could not be loaded. */
  declare formFailed: boolean;

  /** The escalation before its subject changed. */
  #before: Escalation | undefined;
  #commentMissing = false;
  #isCopied = false;
  /** The inputs as the user changed them. */
  #edited: unknown;
  /** The decision that was emitted, until its progress arrives. A double click has no effect. */
  #emitted: string | undefined;
  #moveFocus = false;

  override willUpdate(changed: PropertyValues): void {
    if (changed.has("progress")) {
      this.#emitted = undefined;
      const isDone = ["decided", "conflict", "changed"].includes(this.progress?.state ?? "");
      if (isDone) this.openForm(undefined);
    }
    if (!changed.has("escalation")) return;
    const old = changed.get("escalation") as Escalation | undefined;
    const isSame = old?.id === this.escalation?.id;
    if (isSame && old?.subjectHash === this.escalation?.subjectHash) return;
    // A form belongs to the subject for which it was opened.
    this.#before = isSame ? old : undefined;
    this.#emitted = undefined;
    this.#isCopied = false;
    this.openForm(undefined);
  }

  override updated(changed: PropertyValues): void {
    if (changed.has("mode") && this.mode) {
      this.renderRoot.querySelector<HTMLElement>("#form-title")?.focus();
    }
    if (changed.has("progress") && this.progress && this.#moveFocus) {
      // The button that had the focus is gone.
      this.#moveFocus = this.progress.state === "sending";
      this.renderRoot.querySelector<HTMLElement>("#outcome")?.focus();
    }
  }

  override render(): TemplateResult | typeof nothing {
    const { escalation } = this;
    if (!escalation) return nothing;
    return html`<article
      class="panel stack"
      aria-labelledby="title"
      aria-describedby="explanation"
      @keydown=${this.#onKeydown}
    >
      ${cardHeader(this, escalation)} ${this.#changed(escalation)} ${this.shown(escalation.subject)}
      ${this.#claims(escalation)} ${this.#rejectedBefore(escalation)}
      <div>${this.everything(escalation.subject)} ${this.#fingerprint(escalation)}</div>
      ${this.#footer(escalation)}
    </article>`;
  }

  /** Moves the focus to the heading, so that nothing is decided by accident. */
  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("#title")?.focus();
  }

  /** Opens the form of a decision, or closes the open one. */
  openForm(mode: FormMode | undefined): void {
    this.mode = mode;
    if (mode === "edit" || mode === "respond") this.#loadForm();
    this.#commentMissing = false;
    this.#edited = undefined;
  }

  /** Loads the form for values, which most decisions do not need. */
  #loadForm(): void {
    this.formFailed = false;
    import("../schema-form.js").catch(() => (this.formFailed = true));
  }

  /** Sends a decision again whose outcome is not known. The same request counts once. */
  repeat(intent: DecisionIntent): void {
    this.emit("cks-decide", intent);
  }

  /** Asks the page to show another escalation. */
  show(escalationId: string): void {
    this.emit<EscalationRef>("cks-select", { escalationId });
  }

  claim(escalationId: string): void {
    this.emit<EscalationRef>("cks-claim", { escalationId });
  }

  release(escalationId: string): void {
    this.emit<EscalationRef>("cks-release", { escalationId });
  }

  /** Whether the user may make a decision now. */
  mayDecide(decision: Decision): boolean {
    const { escalation, progress } = this;
    if (escalation?.status !== "open") return false;
    // After a click, buttons return only with the API's answer.
    if (this.#emitted !== undefined) return false;
    if (progress && !["changed", "refused"].includes(progress.state)) return false;
    return escalation.mayDecide.decisions.includes(decision);
  }

  /** A reason that an agent or a page has written is marked as such. */
  #claims({ reason, origin, kind }: Escalation): TemplateResult {
    const ofAgent = /policy|confirm/.test(kind) ? "card.reason" : "card.agentSays";
    const key = origin === "browser" ? "card.requesterSays" : ofAgent;
    return html`<div class="claim-text">
      <p class="muted" id="says">${this.t(key)}</p>
      <blockquote aria-labelledby="says">${this.prose(reason)}</blockquote>
    </div>`;
  }

  #rejectedBefore({ rejectedBefore }: Escalation): TemplateResult | "" {
    const [latest] = rejectedBefore ?? [];
    if (!latest || !rejectedBefore) return "";
    const values = { count: rejectedBefore.length, date: this.formatDateTime(latest.at) };
    return html`<p class="notice warn">
      <span class="row">${icon("alert")}<span>${this.t("card.rejectedBefore", values)}</span></span>
    </p>`;
  }

  #fingerprint({ subjectHash }: Escalation): TemplateResult {
    const copy = async () => {
      await navigator.clipboard.writeText(subjectHash);
      this.#isCopied = true;
      this.requestUpdate();
    };
    return html`<p class="row muted">
      <span>${this.t("card.hash")}</span>
      <code class="mono hash" title=${subjectHash}>${subjectHash.slice(0, 12)}</code>
      <button class="quiet" aria-label=${this.t("card.hash.copy")} @click=${copy}>
        ${this.#isCopied ? icon("check") : ""}${this.t(
          this.#isCopied ? "common.copied" : "common.copy",
        )}
      </button>
    </p>`;
  }

  /** The differences to the subject that was shown before. */
  #changed(escalation: Escalation): TemplateResult | "" {
    const { progress } = this;
    const before = progress?.state === "changed" ? progress.previous : this.#before;
    if (!before || before.subjectHash === escalation.subjectHash) return "";
    const list = differences(before.subject, escalation.subject);
    return html`<div class="notice warn" role="alert">
      <h3 class="row">${icon("alert")}${this.t("card.changed.title")}</h3>
      <p>${this.t("card.changed.text")}</p>
      ${this.differenceList(list, (pointer) => this.labelAt(pointer))}
    </div>`;
  }

  /** The label of a value of the subject. */
  labelAt(pointer: string): string {
    const hint = this.escalation?.subject.display?.find((other) => other.pointer === pointer);
    return hint?.label ?? pointer.split("/").slice(1).join(" › ");
  }

  #footer(escalation: Escalation): TemplateResult {
    const outcome = outcomeOf(this, escalation, this.progress);
    // The form stays while it is sent, so that a rejected one can be corrected.
    return html`<footer class="stack">
      <div
        id="outcome"
        class="stack"
        tabindex="-1"
        ?data-focus=${outcome.isFinal || this.#emitted !== undefined}
      >
        <div role="status" class="stack">${outcome.polite}</div>
        <div role="alert" class="stack">${outcome.assertive}</div>
      </div>
      <div class="stack" ?hidden=${outcome.isFinal}>
        ${this.#obstacle(escalation)} ${this.#form(escalation)}
      </div>
    </footer>`;
  }

  /** Why the user may not make each of the decisions. */
  #obstacle({ mayDecide }: Escalation): TemplateResult | "" {
    if (!mayDecide.because) return "";
    return html`<p class="notice">
      <span class="row">${icon("lock")}<span>${this.t(`because.${mayDecide.because}`)}</span></span>
    </p>`;
  }

  #form(escalation: Escalation): TemplateResult | "" {
    if (!this.mode) return this.#buttons(escalation);
    return decisionForm(this, escalation, this.mode, {
      commentMissing: this.#commentMissing,
      edited: this.#edited,
      onEdited: (value) => {
        this.#edited = value;
        this.requestUpdate();
      },
      onSend: () => this.#submit(escalation),
      onClose: () => this.#close(),
    });
  }

  #buttons(escalation: Escalation): TemplateResult | "" {
    const order: Decision[] = ["approve", "respond", "edit", "reject"];
    const offered = order.filter((decision) => escalation.mayDecide.decisions.includes(decision));
    if (offered.length === 0) return "";
    return html`<div class="row actions" role="group" aria-label=${this.t("card.actions")}>
      ${offered.map(
        (decision) =>
          html`<button
            class=${classOf(decision)}
            id="decide-${decision}"
            ?disabled=${!this.mayDecide(decision)}
            @click=${() => this.#choose(escalation, decision)}
          >
            ${this.decisionLabel(escalation, decision)}
          </button>`,
      )}
    </div>`;
  }

  /** The label of a button. Requesters withdraw and confirm their own requests. */
  decisionLabel({ kind, userId }: Escalation, decision: Decision): string {
    if (decision === "reject" && userId === this.userId) return this.t("decision.withdraw");
    if (decision === "approve" && kind === "confirm") return this.t("decision.confirm");
    return this.t(`decision.${decision}`);
  }

  #choose(escalation: Escalation, decision: Decision): void {
    if (decision === "approve" && escalation.risk !== "high") {
      return this.#decide({ ...intentOf(escalation), decision });
    }
    this.openForm(decision);
  }

  /** Sends the open form, if it is complete. */
  #submit(escalation: Escalation): void {
    const { mode } = this;
    if (!mode || !this.mayDecide(mode)) return;
    const intent: DecisionIntent = { ...intentOf(escalation), decision: mode };
    const comment = this.#read("#comment")?.trim();
    const isRequired = commentIsRequired(escalation, mode, this.userId);
    this.#commentMissing = isRequired && !comment;
    this.requestUpdate();
    if (this.#commentMissing) {
      void this.updateComplete.then(() =>
        this.renderRoot.querySelector<HTMLElement>("#comment")?.focus(),
      );
      return;
    }
    if (comment) intent.comment = comment;
    if (mode === "edit" || mode === "respond") {
      const answer = this.#answer();
      if (!answer) return;
      intent.answer = answer.value;
    }
    this.#decide(intent);
  }

  #answer(): { value: unknown } | undefined {
    const form = this.renderRoot.querySelector<CksSchemaForm>("cks-schema-form");
    const answer = form?.submit?.();
    if (!answer || this.mode !== "edit") return answer;
    return differences(form?.value, answer.value).length > 0 ? answer : undefined;
  }

  #read(selector: string): string | undefined {
    return this.renderRoot.querySelector<HTMLTextAreaElement>(selector)?.value;
  }

  #decide(intent: DecisionIntent): void {
    if (!this.mayDecide(intent.decision)) return;
    this.#emitted = intent.decision;
    const isHandled = this.emit("cks-decide", intent);
    if (!isHandled) this.#emitted = undefined;
    this.#moveFocus = isHandled;
    this.requestUpdate();
  }

  #close(): void {
    const { mode } = this;
    this.openForm(undefined);
    void this.updateComplete.then(() =>
      this.renderRoot.querySelector<HTMLElement>(`#decide-${mode}`)?.focus(),
    );
  }

  #onKeydown = (event: KeyboardEvent): void => {
    if (!this.mode || !this.escalation) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      this.#close();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.#submit(this.escalation);
    }
  };
}

/** The beginning of each decision: what it decides, as it was rendered. */
function intentOf({ id, subjectHash }: Escalation): Omit<DecisionIntent, "decision"> {
  return { escalationId: id, subjectHash };
}

/** Whether a decision needs a comment. Requesters withdraw without one. */
export function commentIsRequired(
  { commentRequired, userId }: Escalation,
  decision: Decision,
  caller: string | undefined,
): boolean {
  if (decision === "reject" && userId === caller) return false;
  return (commentRequired as readonly Decision[]).includes(decision);
}

function classOf(decision: Decision): string {
  if (decision === "approve" || decision === "respond") return "primary";
  return decision === "reject" ? "danger" : "";
}
