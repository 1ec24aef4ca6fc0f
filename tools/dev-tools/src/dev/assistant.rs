//! The answers of the model in `cargo dev`: it pays invoices with the agent's tool, and reports the
//! outcome of a call. It is a set of rules, so that a chat does not need an account or a key.

use std::time::Duration;

use local_stack::agents::{FEE_TOOL, PAY_TOOL};
use local_stack::model::{FakeModel, Script};
use serde_json::{Value, json};

/// The time between two words, as a person reads them.
const PACE: Duration = Duration::from_millis(35);

/// The time between two words of a long answer, during which a function can be stopped.
const SLOW_PACE: Duration = Duration::from_millis(110);

const HELP: &str = "I can pay invoices. For example: “Pay invoice 2041, 12,000 EUR, to Northwind Paper GmbH.” \
                    Up to 10,000 EUR I pay at once. Above that, a second person approves the exact call first. \
                    A fee, for example “Pay the late fee of invoice 2041, 15 EUR”, you confirm yourself.";

const OVERVIEW: &str = "Here is how a payment moves through this workspace. You ask for it in your own words. \
    I turn the request into one call of the tool pay_invoice, and fill in nothing but its inputs. Before the call \
    leaves, the gate in the database checks who you are, whether the tool is allowed, and whether the amount is \
    within its limit. Above the limit the call is held, and its exact content is hashed. An approver sees the same \
    content and the same hash, and decides on precisely that. Then the call is made once, under one idempotency key, \
    even if a process dies or a request is repeated in between. The ledger beside this chat shows what the agent has \
    really paid.";

/// Makes the model answer by these rules.
pub fn answer_for(model: &FakeModel) {
    model.set_default_answer(answer);
}

fn answer(body: &Value) -> Script {
    let input = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let last = input.last().unwrap_or(&Value::Null);
    if last["type"] == "function_call_output" {
        let calls = input.iter().filter(|item| item["call_id"] == last["call_id"]);
        let is_fee = calls.into_iter().any(|call| call["name"] == FEE_TOOL);
        return Script::new().text(&after_call(text(&last["output"]), is_fee)).pace(PACE);
    }
    // A note of ours about an earlier call is a message of the user, marked as context.
    let mut notes = input.iter().map(message).filter(|text| text.starts_with("<context"));
    let note = notes.next_back().map(|text| after_note(&text));
    let said = message(last);
    if said.starts_with("<context") {
        return Script::new().text(&note.unwrap_or_default()).pace(PACE);
    }
    let lower = said.to_lowercase();
    if lower.contains("pay")
        && let Some(payment) = Payment::read(&said)
    {
        let tool = if lower.contains("fee") { FEE_TOOL } else { PAY_TOOL };
        return Script::new()
            .text("I am preparing the payment.")
            .function_call(tool, &payment.inputs())
            .pace(PACE);
    }
    if lower.contains("explain") || lower.contains("how ") {
        return Script::new().text(OVERVIEW).pace(SLOW_PACE);
    }
    match note {
        Some(note) if lower.contains("paid") || lower.contains("status") => {
            Script::new().text(&note).pace(PACE)
        }
        _ => Script::new().text(HELP).pace(PACE),
    }
}

/// The model's answer after the output of its call.
fn after_call(output: &str, is_fee: bool) -> String {
    let status = |status: &str| output.contains(&format!("\"status\":\"{status}\""));
    if status("held") && is_fee {
        return "Please confirm the fee on its card. I pay exactly what the card shows.".to_owned();
    }
    if status("held") {
        return "This payment is above 10,000 EUR, so another person has to approve it. You do not need to wait \
                here."
            .to_owned();
    }
    if status("completed") {
        return said_by_tool(output).unwrap_or_else(|| "It is done.".to_owned());
    }
    if output.contains("call_under_way") {
        return "The same payment already waits for a decision.".to_owned();
    }
    "The payment was not made. The timeline has the reason.".to_owned()
}

/// The model's answer about a call that has ended after its last answer.
fn after_note(note: &str) -> String {
    if note.contains("\"status\":\"completed\"") || note.contains("is paid") {
        return said_by_tool(note).unwrap_or_else(|| "The held payment was approved and made.".to_owned());
    }
    "The held payment was not approved, so nothing was paid.".to_owned()
}

/// The message in the data of a tool.
fn said_by_tool(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\"message\":\"")?;
    rest.split_once('"').map(|(message, _)| message.to_owned())
}

fn message(item: &Value) -> String {
    if item["role"] != "user" {
        return String::new();
    }
    match &item["content"] {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().map(|part| text(&part["text"])).collect(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A payment as a person writes it: “Pay invoice 2041, 12,000 EUR, to Northwind Paper GmbH”.
#[derive(Debug, PartialEq, Eq)]
struct Payment {
    invoice: String,
    amount: String,
    supplier: String,
}

impl Payment {
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let plain = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        let after = |name: &str| {
            words.iter().position(|word| plain(word).eq_ignore_ascii_case(name)).map(|at| at + 1)
        };
        let invoice = after("invoice").and_then(|at| words.get(at)).map(|word| plain(word))?;
        let amounts =
            words.iter().filter(|word| plain(word) != invoice).filter_map(|word| amount(&plain(word)));
        let amount = amounts.max_by_key(String::len)?;
        let supplier = after("to").map(|at| supplier(&words[at..])).filter(|name| !name.is_empty());
        Some(Self {
            invoice,
            amount,
            supplier: supplier.unwrap_or_else(|| "Northwind Paper GmbH".to_owned()),
        })
    }

    fn inputs(&self) -> Value {
        json!({
            "invoice": self.invoice, "supplier": self.supplier, "amount": self.amount, "currency": "EUR",
            "account": "NL91ABNA0417164300", "dueDate": "2026-12-15",
        })
    }
}

/// A decimal number with two digits after the point: `12,000` is `12000.00`.
fn amount(word: &str) -> Option<String> {
    let digits = word.replace(',', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, "00"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(whole) && is_number(fraction) && fraction.len() <= 2)
        .then(|| format!("{whole}.{fraction:0<2}"))
}

/// The words up to the end of a sentence or clause.
fn supplier(words: &[&str]) -> String {
    let mut name = Vec::new();
    for word in words {
        name.push(word.trim_matches(|c: char| !c.is_alphanumeric() && c != '&'));
        if word.ends_with(['.', ',', '!', '?', '”']) {
            break;
        }
    }
    name.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(text: &str) -> Option<(String, String, String)> {
        Payment::read(text).map(|Payment { invoice, amount, supplier }| (invoice, amount, supplier))
    }

    #[test]
    fn payment_is_read_from_a_sentence() {
        let expected = |invoice: &str, amount: &str, supplier: &str| {
            Some((invoice.to_owned(), amount.to_owned(), supplier.to_owned()))
        };
        let sentence = "Pay invoice 2041, 12,000 EUR, to Northwind Paper GmbH.";
        assert_eq!(payment(sentence), expected("2041", "12000.00", "Northwind Paper GmbH"));
        let sentence = "please pay 950.5 EUR for invoice A-7";
        assert_eq!(payment(sentence), expected("A-7", "950.50", "Northwind Paper GmbH"));
        assert_eq!(payment("Pay invoice 7"), None);
        assert_eq!(payment("Pay 7 EUR"), None);
    }

    #[test]
    fn answer_follows_the_output_of_a_call() {
        assert!(after_call(r#"{"status":"held"}"#, false).contains("another person"));
        assert!(after_call(r#"{"status":"held"}"#, true).contains("confirm"));
        let output = "{\"status\":\"completed\"}\n<context source=\"tool\">\n{\"message\":\"Invoice 1 is paid.\"}\n</context>";
        assert_eq!(after_call(output, false), "Invoice 1 is paid.");
        assert!(
            after_call(r#"{"status":"refused","error":"call_under_way"}"#, false).contains("already waits")
        );
    }
}
