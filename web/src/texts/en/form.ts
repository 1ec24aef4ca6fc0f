import type { TextTable } from "../texts.js";

/** Texts of forms. */
export const form = {
  "form.value": "Answer",
  "form.required": "Fill in this field.",
  "form.type": "This value does not have the expected type.",
  "form.enum": "Choose one of the values.",
  "form.number": "Enter a number, for example {example}.",
  "form.json": "This is not valid JSON.",
  "form.minimum": "The value is too small.",
  "form.maximum": "The value is too large.",
  "form.length": "The text is too short or too long.",
  "form.pattern": "The text does not have the expected form.",
  "form.other": "This value is not allowed.",
  "form.understood": "Understood: {value}",
  "form.asJson": "as JSON",
  "form.choose": "Choose…",
} as const satisfies TextTable;
