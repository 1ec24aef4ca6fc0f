// JSON that keeps the digits of numbers: an amount may have more digits than a double.

const digits = new WeakMap<object, Map<string, string>>();

type Container = Record<string, unknown> | unknown[];
type Reviver = (
  this: object,
  key: string,
  value: unknown,
  context?: { source?: string },
) => unknown;

/** Parses JSON. `digitsOf` returns the digits of those numbers that a double does not hold. */
export function parseJson(text: string): unknown {
  const reviver: Reviver = function (key, value, context) {
    const source = context?.source;
    if (typeof value === "number" && source !== undefined && source !== String(value)) {
      setDigits(this, key, source);
    }
    return value;
  };
  return JSON.parse(text, reviver);
}

/** The digits of a number as they were sent, for example `12000.50`. */
export function digitsOf(container: object, key: string | number): string | undefined {
  const value: unknown = Reflect.get(container, key);
  if (typeof value !== "number") return undefined;
  return digits.get(container)?.get(String(key)) ?? String(value);
}

/** Sets the digits with which `stringifyJson` writes a number. */
export function setDigits(container: object, key: string | number, source: string): void {
  const known = digits.get(container) ?? new Map<string, string>();
  digits.set(container, known.set(String(key), source));
}

/** `JSON.stringify` with the digits that `parseJson` and `setDigits` recorded. */
export function stringifyJson(value: unknown): string {
  return write(value) ?? "null";
}

function write(value: unknown): string | undefined {
  if (!isContainer(value)) return JSON.stringify(value);
  const number = (key: string | number) => digits.get(value)?.get(String(key));
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => exact(item, number(index)) ?? "null").join(",")}]`;
  }
  const members = Object.entries(value).flatMap(([key, member]) => {
    const text = exact(member, number(key));
    return text === undefined ? [] : [`${JSON.stringify(key)}:${text}`];
  });
  return `{${members.join(",")}}`;
}

function exact(value: unknown, source: string | undefined): string | undefined {
  const isCurrent = typeof value === "number" && source !== undefined && Number(source) === value;
  return isCurrent ? source : write(value);
}

/** A deep copy that keeps the digits. */
export function copyJson<T>(value: T): T {
  return parseJson(stringifyJson(value)) as T;
}

/** Whether a value is an object or an array. */
export function isContainer(value: unknown): value is Container {
  return value !== null && typeof value === "object";
}

/** Whether a value is an object, and not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return isContainer(value) && !Array.isArray(value);
}

/** The parts of a JSON pointer (RFC 6901). */
export function pointerParts(pointer: string): string[] {
  if (pointer === "") return [];
  return pointer
    .replace(/^\//, "")
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** A JSON pointer to a member of the value at `pointer`. */
export function pointerTo(pointer: string, key: string | number): string {
  return `${pointer}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** The value at a JSON pointer, and the container that holds it. */
export function resolvePointer(
  root: unknown,
  pointer: string,
): { value: unknown; container: Container; key: string } | undefined {
  const parts = pointerParts(pointer);
  const key = parts.pop();
  if (key === undefined) return undefined;
  let container = root;
  for (const part of parts) {
    if (!isContainer(container) || !Object.hasOwn(container, part)) return undefined;
    container = Reflect.get(container, part);
  }
  if (!isContainer(container) || !Object.hasOwn(container, key)) return undefined;
  return { value: Reflect.get(container, key), container, key };
}

/** A difference between two JSON values. `undefined` states that a side does not have the value. */
export interface Difference {
  pointer: string;
  before: string | undefined;
  after: string | undefined;
}

/** Compares two JSON values member by member. */
export function differences(before: unknown, after: unknown): Difference[] {
  const left = { value: before };
  const right = { value: after };
  return compare(left, right, "value", "");
}

function compare(left: object, right: object, key: string, pointer: string): Difference[] {
  const a: unknown = Reflect.get(left, key);
  const b: unknown = Reflect.get(right, key);
  if (isContainer(a) && isContainer(b) && Array.isArray(a) === Array.isArray(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].flatMap((member) => compare(a, b, member, pointerTo(pointer, member)));
  }
  const before = textAt(left, key);
  const after = textAt(right, key);
  return before === after ? [] : [{ pointer, before, after }];
}

/** A member as JSON text, with its digits. */
export function textAt(container: object, key: string): string | undefined {
  const value: unknown = Reflect.get(container, key);
  return digitsOf(container, key) ?? (value === undefined ? undefined : stringifyJson(value));
}
