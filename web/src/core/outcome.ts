import type { Decision, DecisionIntent, Escalation, Problem, Winner } from "./model.js";

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
