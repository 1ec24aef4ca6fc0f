import { describe, expect, test } from "vitest";
import { addDecimals, parseAmount, toMajor } from "../../src/core/amount.js";
import {
  copyJson,
  differences,
  digitsOf,
  parseJson,
  resolvePointer,
  stringifyJson,
} from "../../src/core/json.js";
import { formatMoney } from "../../src/core/money.js";
import { validate } from "../../src/core/schema.js";
import { visibleText, safeUrl } from "../../src/elements/untrusted.js";
import { de } from "../../src/texts/de.js";
import { en } from "../../src/texts/en.js";
import { formatText, splitTemplate, type Text } from "../../src/texts/texts.js";

const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, " ");

describe("json", () => {
  const text = '{"amount":12345678901234567.89,"list":[1.10,2],"n":1e3,"t":"1.10"}';

  test("numbers_beyond_a_double_keep_their_digits", () => {
    const value = parseJson(text) as { amount: number; list: number[] };
    expect(digitsOf(value, "amount")).toBe("12345678901234567.89");
    expect(digitsOf(value.list, 0)).toBe("1.10");
    expect(stringifyJson(value)).toBe(text);
    expect(stringifyJson(copyJson(value))).toBe(text);
  });

  test("a_number_that_is_replaced_loses_its_old_digits", () => {
    const value = parseJson(text) as { amount: number };
    value.amount = 7;
    expect(stringifyJson(value)).toContain('"amount":7,');
    expect(digitsOf(value, "other")).toBeUndefined();
  });

  test("differences_compare_digits_and_types", () => {
    const before = parseJson('{"a":1.10,"b":"1","c":{"d":[1]},"gone":null}');
    const after = parseJson('{"a":1.1,"b":1,"c":{"d":[1,2]}}');
    expect(differences(before, after)).toEqual([
      { pointer: "/a", before: "1.10", after: "1.1" },
      { pointer: "/b", before: '"1"', after: "1" },
      { pointer: "/c/d/1", before: undefined, after: "2" },
      { pointer: "/gone", before: "null", after: undefined },
    ]);
  });

  test("a_pointer_does_not_reach_inherited_members", () => {
    expect(resolvePointer({ "a/b": { "~": 1 } }, "/a~1b/~0")?.value).toBe(1);
    expect(resolvePointer({}, "/constructor/name")).toBeUndefined();
  });
});

describe("money", () => {
  test.each([
    ["12000.00", "EUR", "major", "en", "EUR 12,000.00"],
    ["12345678901234567.89", "EUR", "major", "de", "12.345.678.901.234.567,89 EUR"],
    ["1250", "EUR", "minor", "en", "EUR 12.50"],
    ["1250", "JPY", "minor", "en", "JPY 1,250"],
    ["1250", "KWD", "minor", "en", "KWD 1.250"],
    ["-0.125", "USD", "major", "en", "USD 0.125"],
    ["1.2e4", "EUR", "major", "en", "EUR 12,000.00"],
  ] as const)("%s %s in %s units in %s is %s", (amount, currency, unit, locale, expected) => {
    expect(plain(formatMoney(amount, currency, unit, locale).text)).toBe(expected);
  });

  test("an_amount_without_a_currency_is_not_given_one", () => {
    const money = formatMoney("12000", undefined, "major", "en");
    expect(money).toEqual({
      text: "12,000",
      isNegative: false,
      isNumber: true,
      currency: undefined,
    });
    expect(formatMoney("12,000", "EUR", "major", "en").isNumber).toBe(false);
    expect(formatMoney("12000", "euros", "major", "en").currency).toBeUndefined();
  });

  test.each([
    ["12,000.50", "en", "12000.50"],
    ["12.000,50", "de", "12000.50"],
    ["12’000.5", "de-CH", "12000.5"],
    ["12 000,5", "fr", "12000.5"],
    ["-1", "en", "-1"],
    ["12.000.50", "en", undefined],
    ["1,2,3", "en", undefined],
    ["12,00", "en", undefined],
    ["12.00", "de", undefined],
    ["a lot", "en", undefined],
    ["", "en", undefined],
  ] as const)("%s in %s is read as %s", (text, locale, expected) => {
    expect(parseAmount(text, locale)).toBe(expected);
  });

  test("sums_are_exact", () => {
    expect(addDecimals("0.1", "0.2")).toBe("0.3");
    expect(addDecimals("99999999999999999.99", "0.01")).toBe("100000000000000000.00");
    expect(addDecimals("1", "-1.5")).toBe("-0.5");
    expect(toMajor("1250", "EUR", "minor")).toBe("12.50");
    expect(toMajor("5", "KWD", "minor")).toBe("0.005");
  });
});

describe("schema", () => {
  const schema = {
    type: "object",
    required: ["account"],
    properties: { account: { type: "string", minLength: 3 }, n: { type: "number", maximum: 5 } },
  };

  test("errors_are_at_their_fields", () => {
    expect(validate(schema, { n: 9 })).toEqual([
      { pointer: "/account", key: "form.required" },
      { pointer: "/n", key: "form.maximum" },
    ]);
    expect(validate(schema, { account: "abc", n: 5 })).toEqual([]);
  });
});

describe("untrusted text", () => {
  const shown = (text: string) =>
    visibleText(text, (code) => code).map((part) => (typeof part === "string" ? part : "•"));

  test("hidden_characters_are_shown", () => {
    expect(shown("a\u202eb\u2066c\u200bd\u0007e\u{e0041}f").join("")).toBe("a•b•c•d•e•f");
    expect(shown("line\nbreak\tand é").join("")).toBe("line\nbreak\tand é");
  });

  test("joiners_of_emoji_and_scripts_are_kept", () => {
    expect(shown("👩\u200d💻 می\u200cخواهم").join("")).toBe("👩\u200d💻 می\u200cخواهم");
    expect(shown("pay\u200dpal").join("")).toBe("pay•pal");
  });

  test.each(["javascript:alert(1)", "data:text/html,x", "https://a:b@evil.example", "x"])(
    "%s is not a link",
    (url) => {
      expect(safeUrl(url)).toBeUndefined();
    },
  );
});

describe("texts", () => {
  const names = (text: Text) =>
    (typeof text === "string" ? [text] : Object.values(text)).map((form) =>
      splitTemplate(form)
        .flatMap(({ name }) => name ?? [])
        .filter((name) => name !== "count")
        .sort()
        .join(),
    );

  test("german_has_the_keys_and_placeholders_of_english", () => {
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(en)) {
      const german = (de as Record<string, Text>)[key] as Text;
      expect([key, new Set(names(german))]).toEqual([key, new Set(names(text))]);
    }
  });

  test("plurals_follow_the_language", () => {
    expect(formatText(en, "inbox.count", { count: 1 })).toBe("1 request");
    expect(formatText(en, "inbox.count", { count: 2000 })).toBe("2,000 requests");
    expect(formatText(de, "inbox.count", { count: 2000 })).toBe("2.000 Anfragen");
    const polish = { ...en, locale: "pl", "inbox.count": { one: "1", few: "few", other: "more" } };
    expect(formatText(polish, "inbox.count", { count: 3 })).toBe("few");
  });
});
