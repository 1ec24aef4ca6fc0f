import type { Problem, ProblemCode, Winner } from "./model.js";

/** An RFC 9457 problem, which the API returned instead of a result. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
    /** Seconds after which the request may be repeated, if the API stated them. */
    readonly retryAfter: number | null = null,
  ) {
    super([problem.title ?? `HTTP ${status}`, problem.detail].filter(Boolean).join(". "));
  }

  get code(): ProblemCode | undefined {
    return this.problem.code;
  }

  get requestId(): string | undefined {
    return this.problem.requestId;
  }

  /** The invalid fields of the request, with JSON pointers into its body. */
  get errors(): NonNullable<Problem["errors"]> {
    return this.problem.errors ?? [];
  }

  /** With `escalation_resolved`: the recorded decision. */
  get winner(): Winner | undefined {
    return this.problem.decision;
  }

  /** Whether the same request may succeed later. */
  get isTemporary(): boolean {
    const repeatable = ["still_running", "rate_limited"];
    return this.status >= 500 || repeatable.includes(this.code ?? "");
  }

  /** Whether the request may have been processed nevertheless. A 503 states that it was not. */
  get isOutcomeUnknown(): boolean {
    return this.status >= 500 && this.status !== 503;
  }
}

/** No response arrived. The request may have been processed. */
export class NoResponseError extends Error {
  override readonly name = "NoResponseError";

  constructor(cause: unknown) {
    super("No response arrived.", { cause });
  }
}
