// What a user wrote into the fields of a form, as a JSON value.

import { parseAmount } from "../core/amount.js";
import { isContainer, parseJson, pointerParts, resolvePointer, setDigits } from "../core/json.js";
import { allowsNull, type Field, type FieldError } from "../core/schema.js";

/** The value of a form, as a member, so that it can be replaced. */
export interface ValueHolder {
  value: unknown;
}

export interface InputContext {
  /** The value before the user's changes. */
  initial: unknown;
  isAmount: boolean;
  /** The locale in which amounts are written. */
  locale: string;
}

/** The fields with a control: those of groups, and not the groups. */
export function flatten(fields: readonly Field[]): Field[] {
  return fields.flatMap((field) => (field.kind === "group" ? flatten(field.fields) : [field]));
}

/** Writes what the user wrote into the value. Returns the error of a text that is not understood. */
export function applyInput(
  holder: ValueHolder,
  field: Field,
  written: string | boolean,
  { initial, isAmount, locale }: InputContext,
): FieldError["key"] | undefined {
  const { pointer, kind } = field;
  if (typeof written === "boolean") {
    put(holder, pointer, written);
    return undefined;
  }
  if (kind === "text" ? written === "" : written.trim() === "") {
    clear(holder, field, initial);
    return undefined;
  }
  if (kind === "choice" || kind === "json") {
    try {
      put(holder, pointer, parseJson(written));
      return undefined;
    } catch {
      return "form.json";
    }
  }
  if (kind !== "number" && !isAmount) {
    put(holder, pointer, written);
    return undefined;
  }
  const amount = parseAmount(written, locale);
  if (amount === undefined) return "form.number";
  if (kind === "number") put(holder, pointer, Number(amount), amount);
  else put(holder, pointer, amount);
  return undefined;
}

/** Omits a value. A value that was null stays null. */
function clear(holder: ValueHolder, field: Field, initial: unknown): void {
  const before = resolvePointer({ value: initial }, `/value${field.pointer}`);
  if (before?.value === null && allowsNull(field.schema)) return;
  const found = resolvePointer(holder, `/value${field.pointer}`);
  if (found && !Array.isArray(found.container)) {
    Reflect.deleteProperty(found.container, found.key);
  }
}

function put(holder: object, pointer: string, value: unknown, digits?: string): void {
  const parts = ["value", ...pointerParts(pointer)];
  const key = parts.pop() ?? "value";
  let container: object = holder;
  for (const part of parts) {
    if (!isContainer(Reflect.get(container, part))) Reflect.set(container, part, {});
    container = Reflect.get(container, part) as object;
  }
  Reflect.defineProperty(container, key, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  });
  if (digits !== undefined) setDigits(container, key, digits);
}
