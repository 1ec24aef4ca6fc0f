// A JSON Schema as the fields of a form. The form has fields for what it can show as such, and JSON
// for everything else.

import { Validator } from "@cfworker/json-schema";
import { isObject, pointerTo } from "./json.js";
import type { TextKey } from "../texts/en.js";

export type JsonSchema = Record<string, unknown>;

export type FieldKind = "text" | "date" | "number" | "boolean" | "choice" | "group" | "json";

export interface Field {
  pointer: string;
  name: string;
  kind: FieldKind;
  schema: JsonSchema;
  isRequired: boolean;
  isInteger: boolean;
  /** The fields of a group. */
  fields: Field[];
}

export interface FieldError {
  pointer: string;
  key: TextKey;
}

/** The fields of an object's schema; one field for any other schema. */
export function fieldsOf(schema: JsonSchema): Field[] {
  if (isObject(schema["properties"])) return objectFields(schema, "", 0);
  return [fieldOf("", "", schema, true, 0)];
}

function objectFields(schema: JsonSchema, pointer: string, depth: number): Field[] {
  const properties = isObject(schema["properties"]) ? schema["properties"] : {};
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  return Object.entries(properties).map(([name, property]) =>
    fieldOf(
      pointerTo(pointer, name),
      name,
      isObject(property) ? property : {},
      required.includes(name),
      depth,
    ),
  );
}

function fieldOf(
  pointer: string,
  name: string,
  schema: JsonSchema,
  isRequired: boolean,
  depth: number,
): Field {
  const kind = kindOf(schema, depth);
  const isInteger = typeOf(schema) === "integer";
  const fields = kind === "group" ? objectFields(schema, pointer, depth + 1) : [];
  return { pointer, name, kind, schema, isRequired, isInteger, fields };
}

function kindOf(schema: JsonSchema, depth: number): FieldKind {
  const choices = schema["enum"];
  const isPlain = (choice: unknown) => choice === null || typeof choice !== "object";
  if (Array.isArray(choices)) return choices.every(isPlain) ? "choice" : "json";
  const type = typeOf(schema);
  if (type === "string") return schema["format"] === "date" ? "date" : "text";
  if (type === "number" || type === "integer") return "number";
  if (type === "boolean") return "boolean";
  const isNested = isObject(schema["properties"]) && depth === 0;
  return isNested && type === "object" ? "group" : "json";
}

/** The type, also of a schema that allows null beside it. */
function typeOf(schema: JsonSchema): string | undefined {
  const { type } = schema;
  const types = Array.isArray(type) ? type.filter((member) => member !== "null") : [type];
  return types.length === 1 && typeof types[0] === "string" ? types[0] : undefined;
}

/** Whether the schema allows null. */
export function allowsNull(schema: JsonSchema): boolean {
  const { type, enum: choices } = schema;
  if (Array.isArray(choices)) return choices.includes(null);
  return Array.isArray(type) && type.includes("null");
}

/** The errors of a value, each at its field. The API checks the value again. */
export function validate(schema: JsonSchema, value: unknown): FieldError[] {
  let errors: { instanceLocation: string; keyword: string; error: string }[];
  try {
    ({ errors } = new Validator(schema, "2020-12", false).validate(value));
  } catch {
    // A schema that this validator cannot use is the API's to judge.
    return [];
  }
  const byPointer = new Map<string, FieldError>();
  for (const { instanceLocation, keyword, error } of errors) {
    const key = TEXTS[keyword] ?? (WRAPPERS.includes(keyword) ? undefined : "form.other");
    if (!key) continue;
    const location = instanceLocation.replace(/^#/, "");
    const missing = keyword === "required" ? /"([^"]*)"/.exec(error)?.[1] : undefined;
    const pointer = missing === undefined ? location : pointerTo(location, missing);
    if (!byPointer.has(pointer)) byPointer.set(pointer, { pointer, key });
  }
  return [...byPointer.values()];
}

/** Keywords whose errors repeat those of the schemas in them. */
const WRAPPERS = ["properties", "items", "$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"];

const TEXTS: Record<string, TextKey> = {
  const: "form.enum",
  enum: "form.enum",
  exclusiveMaximum: "form.maximum",
  exclusiveMinimum: "form.minimum",
  format: "form.pattern",
  maximum: "form.maximum",
  maxLength: "form.length",
  minimum: "form.minimum",
  minLength: "form.length",
  pattern: "form.pattern",
  required: "form.required",
  type: "form.type",
};
