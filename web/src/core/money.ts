// Amounts as text: they are formatted without the loss of a digit.

/** A plain decimal number, as JSON and this module write it. */
export const DECIMAL = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;
const CURRENCY = /^[A-Z]{3}$/;

export interface FormattedMoney {
  /** The amount without its sign, with the ISO code of the currency. */
  text: string;
  isNegative: boolean;
  /** False if the amount is shown as it was sent, because it is not a plain number. */
  isNumber: boolean;
  /** The ISO code. Undefined if no currency is stated. */
  currency: string | undefined;
}

/** Formats an amount. `minor` amounts count the smallest unit of the currency, for example cents. */
export function formatMoney(
  amount: string,
  currency: string | undefined,
  unit: "major" | "minor",
  locale: string,
): FormattedMoney {
  const code = currency !== undefined && CURRENCY.test(currency) ? currency : undefined;
  if (!DECIMAL.test(amount) || (unit === "minor" && !code)) {
    return { text: amount, isNegative: false, isNumber: false, currency: code };
  }
  const isNegative = amount.startsWith("-");
  const digits = code ? currencyDigits(code) : 0;
  const decimal = withExponent(amount.replace("-", ""), unit === "minor" ? -digits : 0);
  const options: Intl.NumberFormatOptions = {
    minimumFractionDigits: digits,
    // Digits beyond the currency's are unusual, and must be seen.
    maximumFractionDigits: Math.min(100, Math.max(digits, fractionDigits(decimal))),
  };
  if (code) Object.assign(options, { style: "currency", currency: code, currencyDisplay: "code" });
  const format = new Intl.NumberFormat(locale, options);
  return { text: format.format(decimal as never), isNegative, isNumber: true, currency: code };
}

/** The number of decimals of a currency, for example 2 for euros. */
export function currencyDigits(currency: string): number {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.resolvedOptions().maximumFractionDigits ?? 2;
}

/** Writes a number without an exponent. */
export function expand(decimal: string): string {
  const [mantissa = "", exponentText] = decimal.toLowerCase().split("e");
  const exponent = Number(exponentText ?? 0);
  const sign = mantissa.startsWith("-") ? "-" : "";
  const [whole = "", fraction = ""] = mantissa.replace("-", "").split(".");
  const digits = whole + fraction;
  const point = whole.length + exponent;
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  if (point >= digits.length) return sign + digits.padEnd(point, "0");
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Multiplies a number with a power of ten. */
export function withExponent(decimal: string, shift: number): string {
  if (shift === 0) return decimal;
  const [mantissa = "", exponent] = decimal.toLowerCase().split("e");
  return `${mantissa}e${Number(exponent ?? 0) + shift}`;
}

/** The number of digits after the decimal point. */
export function fractionDigits(decimal: string): number {
  return expand(decimal).split(".")[1]?.length ?? 0;
}
