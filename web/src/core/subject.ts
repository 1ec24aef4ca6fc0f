// What a subject shows: the values that its tool presents, and all the others.

import { digitsOf, isContainer, isObject, resolvePointer } from "./json.js";
import type { DisplayHint, Escalation, Subject } from "./model.js";

/** A value that the tool's registration presents. */
export interface ShownValue {
  hint: DisplayHint;
  /** The value as text, with all digits. Undefined if the call does not have it. */
  text: string | undefined;
  /** With `money`: the currency that the call states. */
  currency: string | undefined;
}

/** The values that the tool's registration presents, in the order of their importance. */
export function shownValues(subject: Subject): ShownValue[] {
  return (subject.display ?? []).map((hint) => ({
    hint,
    text: textOf(subject, hint.pointer),
    currency: hint.currencyPointer ? textOf(subject, hint.currencyPointer) : undefined,
  }));
}

/** The first amount. */
export function shownAmount(escalation: Escalation): ShownValue | undefined {
  return shownValues(escalation.subject).find(
    ({ hint, text }) => hint.kind === "money" && text !== undefined,
  );
}

/** The first value that names a person or company. */
export function shownParty(escalation: Escalation): ShownValue | undefined {
  return shownValues(escalation.subject).find(({ hint }) => hint.kind === "party");
}

/** The value at a pointer as text. */
export function textOf(root: unknown, pointer: string): string | undefined {
  const found = resolvePointer(root, pointer);
  if (!found) return undefined;
  const { value, container, key } = found;
  if (typeof value === "string") return value;
  return digitsOf(container, key) ?? JSON.stringify(value);
}

/** The number of values in a JSON value. An empty object counts as one. */
export function countValues(value: unknown): number {
  if (!isContainer(value)) return 1;
  const members: unknown[] = Object.values(value);
  return Math.max(
    1,
    members.reduce<number>((sum, member) => sum + countValues(member), 0),
  );
}

/** The inputs of a call, and the pointer to them. Null if the subject is not a call with inputs. */
export function callInputs(
  subject: Subject,
): { inputs: Record<string, unknown>; pointer: string } | null {
  if (isObject(subject.inputs)) return { inputs: subject.inputs, pointer: "/inputs" };
  const data = resolvePointer(subject, "/event/payload/data")?.value;
  return isObject(data) ? { inputs: data, pointer: "/event/payload/data" } : null;
}

/** A JSON Schema that describes a value by its types, for a form to change it. */
export function schemaOf(value: unknown): Record<string, unknown> {
  if (isObject(value)) {
    const members = Object.entries(value).map(([key, member]) => [key, schemaOf(member)]);
    // Values that the call has stay in it, unless they are empty.
    const required = Object.keys(value).filter((key) => value[key] !== null && value[key] !== "");
    return { type: "object", properties: Object.fromEntries(members), required };
  }
  if (typeof value === "string") return { type: "string" };
  if (typeof value === "number") return { type: "number" };
  if (typeof value === "boolean") return { type: "boolean" };
  return {};
}

/** The hint of a value of the inputs. */
export function hintAt(subject: Subject, base: string, pointer: string): DisplayHint | undefined {
  return subject.display?.find((hint) => hint.pointer === base + pointer);
}
