// Names for the schemas of the OpenAPI document.

import type { components, operations } from "../api.js";

type Schemas = components["schemas"];

/** The query parameters of an operation. */
export type Query<Operation extends keyof operations> = NonNullable<
  operations[Operation]["parameters"]["query"]
>;

export type Agent = Schemas["Agent"];
export type Change = Schemas["Change"];
export type Changes = Schemas["Changes"];
export type Claim = NonNullable<Schemas["Problem"]["claim"]>;
export type Decision = Schemas["Decision"];
export type DisplayHint = Schemas["DisplayHint"];
export type EscalationPage = Schemas["EscalationPage"];
export type EscalationStatus = Schemas["EscalationStatus"];
export type MayDecide = Schemas["MayDecide"];
export type Message = Schemas["Message"];
export type Metrics = Schemas["Metrics"];
export type OpenedSession = Schemas["OpenedSession"];
export type Problem = Schemas["Problem"];
export type ProblemCode = Schemas["Code"];
export type RecordedEvent = Schemas["RecordedEvent"];
export type Session = Schemas["Session"];
export type SessionDetails = Schemas["SessionDetails"];
export type SessionEvent = Schemas["Event"];
export type Subject = Schemas["Subject"];
export type SubmittedEvent = Schemas["SubmittedEvent"];
export type Task = Schemas["Task"];

/** An escalation of a list. `get-escalation` also returns the fields of `EscalationDetails`. */
export type Escalation = Schemas["EscalationFields"] & Partial<EscalationResult>;
export type EscalationDetails = Schemas["EscalationDetails"];
type EscalationResult = Pick<EscalationDetails, "delivery" | "successorId" | "rejectedBefore">;

/** The recorded decision of an escalation, for a person who decided too late. */
export interface Winner {
  decision: Decision;
  decidedBy: string;
  decidedByName?: string | null;
  decidedAt: string;
}

/** A decision as a person made it. It names the hash of the subject that was shown. */
export interface DecisionIntent {
  escalationId: string;
  decision: Decision;
  subjectHash: string;
  answer?: unknown;
  comment?: string;
}
