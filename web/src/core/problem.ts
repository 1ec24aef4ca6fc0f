import type { Problem, ProblemCode, Winner } from "./model.js";

/** Statuses of requests that were not processed, or not to their end. */
const REPEATABLE = [408, 425, 429];

/**
 * An RFC 9457 problem, which the API returned instead of a result. The responses of gateways, and of
 * a platform that throttles, have a status only.
 */
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
    const { status, code } = this;
    return status >= 500 || REPEATABLE.includes(status) || code === "still_running";
  }

  /** Whether the request may have been processed nevertheless. A 503 of the API denies it. */
  get isOutcomeUnknown(): boolean {
    const { status, code } = this;
    return status === 408 || (status >= 500 && !(status === 503 && code));
  }
}

/** No response arrived. The request may have been processed. */
export class NoResponseError extends Error {
  override readonly name = "NoResponseError";

  constructor(cause: unknown) {
    super("No response arrived.", { cause });
  }
}
