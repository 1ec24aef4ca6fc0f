/** A text with placeholders in braces, or one text for each plural category of its language. */
export type Text = string | ({ other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);
export type TextTable = Readonly<Record<string, Text>>;

import type { TextKey } from "./en.js";

/** The texts of one language. */
export type Texts = Record<TextKey, Text> & { locale: string };

export type Values = Record<string, string | number>;

/** The text of a key. `count` chooses the plural form. */
export function templateOf(texts: TextTable, key: TextKey, count?: number): string {
  const text = texts[key];
  if (text === undefined) throw new Error(`The text ${key} is missing.`);
  if (typeof text === "string") return text;
  const rule = new Intl.PluralRules(localeOf(texts)).select(count ?? 0);
  return text[rule] ?? text.other;
}

/** Splits a text into its literal parts and its placeholders. */
export function splitTemplate(template: string): { literal: string; name: string | undefined }[] {
  const parts = template.split(/\{(\w+)\}/);
  const pairs: { literal: string; name: string | undefined }[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    pairs.push({ literal: parts[i] ?? "", name: parts[i + 1] });
  }
  return pairs;
}

/** The text of a key with its values. */
export function formatText(texts: TextTable, key: TextKey, values: Values = {}): string {
  const count = typeof values["count"] === "number" ? values["count"] : undefined;
  const number = (value: string | number) =>
    typeof value === "number" ? new Intl.NumberFormat(localeOf(texts)).format(value) : value;
  return splitTemplate(templateOf(texts, key, count))
    .map(({ literal, name }) => literal + (name === undefined ? "" : number(values[name] ?? "")))
    .join("");
}

/** Whether the table has a text for a key that depends on data. */
export function hasText(texts: TextTable, key: string): key is TextKey {
  return Object.hasOwn(texts, key);
}

/** The language of a table. */
export function localeOf(texts: TextTable): string {
  return typeof texts["locale"] === "string" ? texts["locale"] : "en";
}
