import type { Decision, DecisionIntent, Escalation, Problem, Winner } from "./model.js";
import { ProblemError } from "./problem.js";

/** The state of a decision, from the click to the API's response. */
export type DecisionProgress =
  /** The decision is being sent. */
  | { state: "sending"; intent: DecisionIntent }
  /** The API recorded the decision. */
  | { state: "decided"; decision: Decision }
  /** Another decision was recorded first. */
  | { state: "conflict"; winner: Winner }
  /** The subject is not the one that was shown. The new one must be decided again. */
  | { state: "changed"; previous: Escalation }
  /** No response arrived. The decision may have been recorded. */
  | { state: "unknown"; intent: DecisionIntent }
  /** The API rejected the decision. */
  | { state: "refused"; intent: DecisionIntent; problem: Partial<Problem> };

/**
 * The state of a decision whose request failed. An error that is not the API's, for example of a
 * missing token, may follow an attempt that was processed. `shown` is what the user decided about.
 */
export function progressAfter(
  error: unknown,
  intent: DecisionIntent,
  shown: Escalation | undefined,
): DecisionProgress {
  if (!(error instanceof ProblemError)) return { state: "unknown", intent };
  const { code, problem, winner, isOutcomeUnknown } = error;
  if (isOutcomeUnknown) return { state: "unknown", intent };
  if (winner) return { state: "conflict", winner };
  if (code === "subject_changed" && shown) return { state: "changed", previous: shown };
  return { state: "refused", intent, problem };
}
