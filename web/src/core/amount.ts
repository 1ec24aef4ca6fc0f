// Amounts as people write them, and sums of amounts, without the loss of a digit.

import { currencyDigits, DECIMAL, expand, fractionDigits, withExponent } from "./money.js";

/** Formats a plain number with all of its digits. Numbers that are not amounts are not grouped. */
export function formatNumber(amount: string, locale: string, useGrouping: boolean): string {
  if (!DECIMAL.test(amount)) return amount;
  const maximumFractionDigits = Math.min(100, fractionDigits(amount));
  return new Intl.NumberFormat(locale, { maximumFractionDigits, useGrouping }).format(
    amount as never,
  );
}

/**
 * Reads an amount in the notation of the locale, for example `12.000,50` in German. Returns a plain
 * decimal number, or undefined if the text is ambiguous or not a number.
 */
export function parseAmount(text: string, locale: string): string | undefined {
  const parts = new Intl.NumberFormat(locale).formatToParts(12345.6);
  const group = parts.find(({ type }) => type === "group")?.value ?? ",";
  const decimal = parts.find(({ type }) => type === "decimal")?.value ?? ".";
  const western = toWesternDigits(text.trim(), locale).replace(/^[−–]/, "-");
  const match = /^(-?)(.*)$/.exec(western);
  const [whole = "", fraction, ...more] = (match?.[2] ?? "").split(decimal);
  if (more.length > 0 || (fraction !== undefined && !/^\d+$/.test(fraction))) return undefined;
  const integer = withoutGroups(whole, group);
  if (integer === undefined) return undefined;
  return (match?.[1] ?? "") + integer + (fraction === undefined ? "" : `.${fraction}`);
}

/** Adds two plain decimal numbers exactly. */
export function addDecimals(a: string, b: string): string {
  const scale = Math.max(fractionDigits(a), fractionDigits(b));
  const sum = toScaled(a, scale) + toScaled(b, scale);
  const digits = (sum < 0n ? -sum : sum).toString().padStart(scale + 1, "0");
  const sign = sum < 0n ? "-" : "";
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** A plain decimal number in the major unit, for example `12.5` for 1250 cents. */
export function toMajor(amount: string, currency: string, unit: "major" | "minor") {
  if (!DECIMAL.test(amount)) return undefined;
  if (unit === "major") return expand(amount);
  return expand(withExponent(amount, -currencyDigits(currency)));
}

function toScaled(decimal: string, scale: number): bigint {
  const [whole = "0", fraction = ""] = expand(decimal).split(".");
  return BigInt(whole + fraction.padEnd(scale, "0"));
}

function withoutGroups(whole: string, group: string): string | undefined {
  // Locales use different spaces and apostrophes as separators, and keyboards have one of each.
  const same = (text: string) => text.replace(/[\u00a0\u202f\u2009 ]/g, " ").replace(/[’']/g, "'");
  const parts = same(whole).split(same(group));
  const [first = "", ...rest] = parts;
  if (!/^\d+$/.test(first)) return undefined;
  if (rest.length === 0) return first;
  if (first.length > 3 || rest.some((part) => !/^\d{3}$/.test(part))) return undefined;
  return first + rest.join("");
}

function toWesternDigits(text: string, locale: string): string {
  const digits = [...new Intl.NumberFormat(locale, { useGrouping: false }).format(9876543210)];
  return [...text].map((c) => (digits.includes(c) ? String(9 - digits.indexOf(c)) : c)).join("");
}
