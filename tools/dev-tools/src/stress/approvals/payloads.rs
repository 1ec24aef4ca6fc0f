//! Generates random amounts, currencies and edits.

use fastrand::Rng;
use serde_json::{Value, json};

use super::amount::read;
use super::generator::{Theme, chance, choose};
use super::state::State;

/// An amount, mostly readable and close to the limits.
fn amount(rng: &mut Rng, theme: Theme) -> Option<Value> {
    if theme == Theme::Totals && chance(rng, 80) {
        return Some(choose(
            rng,
            &[json!(900), json!(1000), json!(600.5), json!(-800), json!("700"), json!(2500)],
        ));
    }
    if theme == Theme::Chats && chance(rng, 55) {
        return Some(choose(rng, &[json!(10), json!(20), json!(300), json!(900), json!(-400)]));
    }
    match rng.u32(..100) {
        0..40 => Some(choose(
            rng,
            &[json!(10), json!(900), json!(1000), json!(999.99), json!("900"), json!("0950.50")],
        )),
        40..60 => {
            Some(choose(rng, &[json!(1001), json!(5000), json!("1000.01"), json!(10_000), json!("10000.00")]))
        }
        60..70 => Some(choose(rng, &[json!(-900), json!(-1001), json!("-5000"), json!(-20_000)])),
        70..78 => {
            Some(choose(rng, &[json!(10_001), json!("99999999999999999999999999999999"), json!(10_000.5)]))
        }
        78..95 => Some(choose(
            rng,
            &[
                json!("1,000"),
                json!("1e3"),
                json!(" 900"),
                json!(""),
                json!(null),
                json!(true),
                json!([900]),
                json!({}),
                json!("+5"),
                json!("0x10"),
                json!("٩٠٠"),
                json!("900 EUR"),
                json!("Infinity"),
                json!("900."),
                json!("-"),
                json!("--5"),
                json!("NaN"),
            ],
        )),
        _ => None,
    }
}

fn currency(rng: &mut Rng, theme: Theme) -> Option<Value> {
    if theme == Theme::Chats && chance(rng, 60) {
        return Some(json!("EUR"));
    }
    match rng.u32(..100) {
        0..60 => Some(json!("EUR")),
        60..80 => Some(json!("USD")),
        80..92 => {
            Some(choose(rng, &[json!("eur"), json!("EURO"), json!(null), json!(5), json!("E1R"), json!("")]))
        }
        _ => None,
    }
}

/// Generates the payload of a payment.
pub fn payload(rng: &mut Rng, theme: Theme, _state: &State) -> Value {
    let mut payload = json!({ "action": "pay", "data": { "payee": choose(rng, &["ACME", "Globex"]) } });
    if let Some(amount) = amount(rng, theme) {
        payload["data"]["amount"] = amount;
    }
    if let Some(currency) = currency(rng, theme) {
        payload["data"]["currency"] = currency;
    }
    payload
}

/// Generates edited inputs of a call.
pub fn edited(rng: &mut Rng, theme: Theme, state: &State, delivery: usize) -> Value {
    let before = state.inputs(delivery);
    let mut after = before.clone();
    if !after["data"].is_object() {
        return payload(rng, theme, state);
    }
    let readable = state.tool(delivery).and_then(|tool| read(tool, &before)).is_some();
    match rng.u32(..100) {
        0..50 if theme == Theme::Edits => {
            after["data"]["payee"] = choose(rng, &[json!("Initech"), json!("Umbrella")])
        }
        0..40 if readable => lower(rng, &mut after),
        0..50 => {
            after["data"]["amount"] =
                choose(rng, &[json!(800), json!(1500), json!("800"), json!(-400), json!(4000)])
        }
        50..75 => match amount(rng, theme) {
            Some(amount) => after["data"]["amount"] = amount,
            None => remove(&mut after, "amount"),
        },
        75..85 => match currency(rng, theme) {
            Some(currency) => after["data"]["currency"] = currency,
            None => remove(&mut after, "currency"),
        },
        85..95 => after["data"]["payee"] = json!("Initech"),
        _ => after = payload(rng, theme, state),
    }
    // Almost an edit that only lowers the amount.
    if chance(rng, 10) {
        after["data"]["payee"] = json!("Initech");
    }
    after
}

fn remove(payload: &mut Value, member: &str) {
    if let Some(data) = payload["data"].as_object_mut() {
        data.remove(member);
    }
}

/// Lowers the amount, mostly with the same type and sign.
pub fn lower(rng: &mut Rng, payload: &mut Value) {
    if !payload["data"].is_object() {
        return;
    }
    let amount = &payload["data"]["amount"];
    let negative = amount.to_string().trim_start_matches('"').starts_with('-');
    let text = if negative { "-5" } else { "5" };
    let number = if negative { json!(-5) } else { json!(5) };
    let as_text = amount.is_string() != chance(rng, 12);
    payload["data"]["amount"] = match (as_text, chance(rng, 8)) {
        (true, false) => json!(text),
        (false, false) => number,
        (_, true) => json!(if negative { 5 } else { -5 }),
    };
}
