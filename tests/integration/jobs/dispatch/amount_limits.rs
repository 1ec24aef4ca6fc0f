//! Amounts below and above a limit, by type, sign, script, unit and currency.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::AGENT;
use crate::support::escalations::EscalationFixture;
use crate::support::tool_calls::{
    ASK, CALLED, CONFIRM, NEVER, UNREADABLE, compare_rows, complete_calls, newest_outcomes,
    record_tool_events, register_tools, tool,
};

/// Registration of the tool, payload of the event, and outcome of the call.
type Row = (Value, Value, &'static str);

#[tokio::test]
async fn only_readable_amounts_are_below_a_limit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let rows: Vec<Row> = [spellings(), currencies(), units(), pointers(), limits()].concat();
    ensure!(rows.len() >= 60, "expected at least 60 rows, found {}", rows.len());
    let names: Vec<String> = (0..rows.len()).map(|row| format!("row_{row:03}")).collect();
    let tools: Vec<Value> =
        names.iter().zip(&rows).map(|(name, (fields, _, _))| tool(name, fields)).collect();
    let org_id = fixture.member.user.org_id;
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let events: Vec<(&str, Value)> =
        names.iter().zip(&rows).map(|(name, (_, payload, _))| (name.as_str(), payload.clone())).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    complete_calls(&stack).await?;
    let outcomes = newest_outcomes(&stack, org_id).await?;
    let comparisons: Option<Vec<_>> = names
        .iter()
        .zip(&rows)
        .map(|(name, (fields, payload, expected))| {
            Some((format!("{fields} {payload}"), (*expected).to_owned(), outcomes.get(name)?.clone()))
        })
        .collect();
    compare_rows(comparisons.context("an event has no delivery")?)
}

/// Above 100 a call needs an approval, and above 1000 it is not permitted.
fn spellings() -> Vec<Row> {
    let fields =
        json!({ "policy": "auto", "amount_pointer": "/amount", "ask_above": 100, "refuse_above": 1000 });
    let mut rows: Vec<Row> = readable()
        .into_iter()
        .chain(unreadable_texts().into_iter().map(|text| (json!(text), UNREADABLE)))
        .chain(
            [
                json!(null),
                json!(true),
                json!(false),
                json!([]),
                json!([100]),
                json!({}),
                json!({ "amount": 1 }),
            ]
            .into_iter()
            .map(|amount| (amount, UNREADABLE)),
        )
        .map(|(amount, outcome)| (fields.clone(), json!({ "amount": amount }), outcome))
        .collect();
    rows.push((fields.clone(), json!({}), UNREADABLE));
    rows.push((fields, json!({ "Amount": 1, "amount ": 1 }), UNREADABLE));
    rows
}

fn readable() -> Vec<(Value, &'static str)> {
    let smallest = format!("100.{}1", "0".repeat(99));
    vec![
        (json!(0), CALLED),
        (json!(-0.0), CALLED),
        (json!(100), CALLED),
        (json!(100.0), CALLED),
        (json!(1e2), CALLED),
        (json!(100.01), ASK),
        (json!(1000), ASK),
        (json!(1000.01), NEVER),
        (json!(1.1e3), NEVER),
        (json!(1e30), NEVER),
        (json!(-100), CALLED),
        (json!(-100.01), ASK),
        (json!(-1000), ASK),
        (json!(-1000.01), NEVER),
        (json!(-1_000_000), NEVER),
        (json!("0"), CALLED),
        (json!("-0"), CALLED),
        (json!("100"), CALLED),
        (json!("100.00"), CALLED),
        (json!("0100"), CALLED),
        (json!(smallest), ASK),
        (json!("1000"), ASK),
        (json!("1000.01"), NEVER),
        (json!("00000000000000000001001"), NEVER),
        (json!("9".repeat(100)), NEVER),
        (json!("-100"), CALLED),
        (json!("-100.01"), ASK),
        (json!("-1000000"), NEVER),
    ]
}

/// Texts that are not plain decimal numbers, so two systems may parse them differently.
fn unreadable_texts() -> Vec<String> {
    let texts = [
        "",
        "-",
        ".",
        ".5",
        "5.",
        "1.2.3",
        "--1",
        "+1",
        "-+1",
        "1,000",
        "1.000,00",
        "100,00",
        "1 000",
        "1_000",
        "1'000",
        "1\u{a0}000",
        "1\u{2009}000",
        " 1",
        "1 ",
        "1\n",
        "\n1",
        "\t1",
        "1\r\n",
        "\u{feff}1",
        "1e2",
        "1E2",
        "1e-2",
        "0x64",
        "0b1",
        "1f",
        "NaN",
        "Infinity",
        "-Infinity",
        "inf",
        "null",
        "ten",
        "€1",
        "$1",
        "1 EUR",
        "1€",
        "1%",
        "1/2",
        "(1)",
        "\u{2212}1",
        "١٠٠",
        "۱۰۰",
        "१००",
        "１００",
        "１00",
        "1٠",
        "一百",
        "Ⅷ",
        "²",
    ];
    let mut texts: Vec<String> = texts.map(str::to_owned).into();
    texts.extend(["1".repeat(101), format!("0.{}1", "0".repeat(100))]);
    texts
}

fn currencies() -> Vec<Row> {
    let limits =
        json!({ "policy": "auto", "amount_pointer": "/amount", "ask_above": 100, "refuse_above": 1000 });
    let with = |fields: Value| merge(&limits, fields);
    let required = with(json!({ "currency": "EUR", "currency_pointer": "/currency" }));
    let any = with(json!({ "currency_pointer": "/currency" }));
    let own = with(json!({ "currency": "EUR" }));
    let approval_only = json!({
        "policy": "auto", "amount_pointer": "/amount", "ask_above": 100, "currency": "EUR",
        "currency_pointer": "/currency",
    });
    let mut rows = vec![
        (required.clone(), json!({ "amount": 100, "currency": "EUR" }), CALLED),
        (required.clone(), json!({ "amount": 101, "currency": "EUR" }), ASK),
        (required.clone(), json!({ "amount": 1001, "currency": "EUR" }), NEVER),
        (required.clone(), json!({ "amount": "x", "currency": "EUR" }), UNREADABLE),
        (required.clone(), json!({ "amount": 1 }), UNREADABLE),
        // Without a currency pointer, the currency of the call is not read.
        (own.clone(), json!({ "amount": 100, "currency": "USD" }), CALLED),
        (own, json!({ "amount": 101 }), ASK),
        // The limits apply to each currency separately.
        (any.clone(), json!({ "amount": 100, "currency": "EUR" }), CALLED),
        (any.clone(), json!({ "amount": 100, "currency": "USD" }), CALLED),
        (any.clone(), json!({ "amount": 101, "currency": "JPY" }), ASK),
        (any.clone(), json!({ "amount": 1001, "currency": "JPY" }), NEVER),
        (any.clone(), json!({ "amount": 1, "currency": "usd" }), UNREADABLE),
        (any, json!({ "amount": 1 }), UNREADABLE),
        (approval_only.clone(), json!({ "amount": 100, "currency": "EUR" }), CALLED),
        (approval_only.clone(), json!({ "amount": 1, "currency": "USD" }), ASK),
        (approval_only, json!({ "amount": 1 }), ASK),
    ];
    for other in [
        json!("USD"),
        json!("eur"),
        json!("Eur"),
        json!("EUR "),
        json!(" EUR"),
        json!("EUR\n"),
        json!("EURO"),
        json!("€"),
        json!("ＥＵＲ"),
        json!(""),
        json!(null),
        json!(978),
        json!(true),
        json!(["EUR"]),
        json!({ "code": "EUR" }),
    ] {
        rows.push((required.clone(), json!({ "amount": 1, "currency": other }), UNREADABLE));
    }
    rows
}

fn units() -> Vec<Row> {
    let minor = json!({
        "policy": "auto", "amount_pointer": "/amount", "ask_above": 100, "refuse_above": 1000, "unit": "minor",
    });
    let major = merge(&minor, json!({ "unit": "major" }));
    [
        (&minor, json!(100), CALLED),
        (&minor, json!("100"), CALLED),
        (&minor, json!(-101), ASK),
        (&minor, json!("1001"), NEVER),
        (&minor, json!(99.5), UNREADABLE),
        (&minor, json!("99.5"), UNREADABLE),
        (&minor, json!(0.01), UNREADABLE),
        (&minor, json!("1001.5"), UNREADABLE),
        (&major, json!(99.5), CALLED),
        (&major, json!("1000.5"), NEVER),
    ]
    .map(|(fields, amount, outcome)| (fields.clone(), json!({ "amount": amount }), outcome))
    .into()
}

fn pointers() -> Vec<Row> {
    let at = |pointer: &str, currency: &str| {
        json!({
            "policy": "auto", "amount_pointer": pointer, "refuse_above": 1000, "currency": "EUR",
            "currency_pointer": currency,
        })
    };
    let plain = |pointer: &str| json!({ "policy": "auto", "amount_pointer": pointer, "refuse_above": 1000 });
    let lines =
        json!({ "lines": [{ "amount": 1, "currency": "EUR" }, { "amount": 5000, "currency": "USD" }] });
    vec![
        (plain("/a~1b/c~0d"), json!({ "a/b": { "c~d": 1 } }), CALLED),
        (plain("/a~1b/c~0d"), json!({ "a~1b": { "c~0d": 1 } }), UNREADABLE),
        (plain("/a~1b/c~0d"), json!({ "a/b": { "c~d": 1001 } }), NEVER),
        (plain("/~01"), json!({ "~1": 1 }), CALLED),
        (plain("/~01"), json!({ "/": 1 }), UNREADABLE),
        (plain(""), json!({ "amount": 1 }), UNREADABLE),
        (plain("/"), json!({ "": 1 }), CALLED),
        (plain("/amount/0"), json!({ "amount": [1] }), CALLED),
        (plain("/amount/0"), json!({ "amount": { "0": 1001 } }), NEVER),
        (plain("/amount/0"), json!({ "amount": "1" }), UNREADABLE),
        (at("/lines/0/amount", "/lines/0/currency"), lines.clone(), CALLED),
        (at("/lines/1/amount", "/lines/0/currency"), lines.clone(), NEVER),
        (at("/lines/0/amount", "/lines/1/currency"), lines.clone(), UNREADABLE),
        (at("/lines/0/amount", "/lines/-2/currency"), lines.clone(), UNREADABLE),
        (at("/lines/-2/amount", "/lines/0/currency"), lines.clone(), UNREADABLE),
        (at("/lines/00/amount", "/lines/0/currency"), lines.clone(), UNREADABLE),
        (at("/lines/-/amount", "/lines/0/currency"), lines.clone(), UNREADABLE),
        (at("/lines/2/amount", "/lines/0/currency"), lines.clone(), UNREADABLE),
        (at("/lines/0/amount", "/lines/00/currency"), lines.clone(), UNREADABLE),
        (at("/lines/4294967296/amount", "/lines/0/currency"), lines, UNREADABLE),
    ]
}

fn limits() -> Vec<Row> {
    let fields = |policy: &str, limits: Value| {
        merge(&json!({ "policy": policy, "amount_pointer": "/amount" }), limits)
    };
    let both = json!({ "ask_above": 100, "refuse_above": 1000 });
    [
        (fields("auto", json!({})), json!("x"), CALLED),
        (fields("auto", json!({ "ask_above": 0 })), json!(0), CALLED),
        (fields("auto", json!({ "ask_above": 0 })), json!(0.01), ASK),
        (fields("auto", json!({ "ask_above": 0 })), json!(-0.01), ASK),
        (fields("auto", json!({ "ask_above": 100.5 })), json!("100.5"), CALLED),
        (fields("auto", json!({ "ask_above": 100.5 })), json!("100.51"), ASK),
        (fields("auto", json!({ "ask_above": 100 })), json!("1,000"), ASK),
        (fields("auto", json!({ "ask_above_total": 100 })), json!("1,000"), ASK),
        (fields("auto", json!({ "ask_above_total": 100 })), json!(100), CALLED),
        (fields("auto", json!({ "ask_above_total": 100 })), json!(-101), ASK),
        (fields("auto", json!({ "refuse_above": 0 })), json!(0), CALLED),
        (fields("auto", json!({ "refuse_above": 0 })), json!(-1), NEVER),
        (fields("auto", json!({ "ask_above": 1000, "refuse_above": 100 })), json!(101), NEVER),
        (fields("ask", both.clone()), json!(1), ASK),
        (fields("ask", both.clone()), json!(1001), NEVER),
        (fields("ask", both.clone()), json!("x"), UNREADABLE),
        (fields("ask", json!({})), json!("x"), ASK),
        (fields("confirm", both.clone()), json!(100), CONFIRM),
        (fields("confirm", both.clone()), json!(101), ASK),
        (fields("confirm", both.clone()), json!(-1001), NEVER),
        (fields("confirm", both.clone()), json!("x"), UNREADABLE),
        (fields("confirm", json!({ "ask_above": 100 })), json!("x"), ASK),
        (fields("confirm", json!({})), json!("x"), CONFIRM),
        (fields("never", both.clone()), json!(1), NEVER),
        (fields("never", both), json!("x"), NEVER),
    ]
    .map(|(fields, amount, outcome)| (fields, json!({ "amount": amount }), outcome))
    .into()
}

fn merge(object: &Value, fields: Value) -> Value {
    let mut merged = object.clone();
    if let (Some(merged), Value::Object(fields)) = (merged.as_object_mut(), fields) {
        merged.extend(fields);
    }
    merged
}
