//! The behaviour of the three agents. Each response follows the contract "Agents over MCP".

use serde_json::{Value, json};

use super::request_log::{AgentAction, AgentState};

/// The amount in EUR up to which `accounts_payable` pays without approval.
pub const APPROVAL_LIMIT: f64 = 10_000.0;

/// One of the three agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    AccountsPayable,
    TaxCompliance,
    CfoStrategy,
}

impl Behaviour {
    pub(super) const ALL: [Self; 3] = [Self::AccountsPayable, Self::TaxCompliance, Self::CfoStrategy];

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::AccountsPayable => "accounts_payable",
            Self::TaxCompliance => "tax_compliance",
            Self::CfoStrategy => "cfo_strategy",
        }
    }

    /// Responds to a call. A call with a known idempotency key returns the first response.
    pub(super) fn answer(self, state: &mut AgentState, arguments: &Value) -> Value {
        let key = arguments["idempotencyKey"].as_str().unwrap_or_default();
        if let Some(answer) = state.responses.get(key).filter(|_| !state.forgets_keys) {
            return answer.clone();
        }
        let (answer, action) = match self {
            Self::AccountsPayable => pay(arguments),
            Self::TaxCompliance => check_vat(arguments),
            Self::CfoStrategy => accept_handover(arguments),
        };
        if let Some((what, with)) = action {
            state.actions.push(AgentAction { key: key.to_owned(), kind: what, data: with });
            state.responses.insert(key.to_owned(), answer.clone());
        }
        answer
    }
}

/// The response, and the action that was executed.
type ToolOutcome = (Value, Option<(&'static str, Value)>);

/// Returns invoice and amount of a call: from its inputs, or from its event.
pub(super) fn subject(arguments: &Value) -> (String, f64) {
    let payload = &arguments["event"]["payload"];
    let about = [&arguments["inputs"], &payload["data"], payload];
    let invoice = about.iter().map(|about| &about["invoice"]).find(|invoice| !invoice.is_null());
    let invoice = match invoice {
        Some(Value::String(invoice)) => invoice.clone(),
        Some(invoice) => invoice.to_string(),
        None => "unknown".to_owned(),
    };
    // An amount may be text, which keeps its digits.
    let amount = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let amount = about.iter().find_map(|about| amount(&about["amount"])).unwrap_or_default();
    (invoice, amount)
}

fn pay(arguments: &Value) -> ToolOutcome {
    let (invoice, amount) = subject(arguments);
    let task = |status: &str, requires_hitl: bool| json!([{ "id": format!("pay-{invoice}"), "title": format!("Pay invoice {invoice}"), "status": status, "requiresHitl": requires_hitl }]);
    if arguments["event"]["payload"]["action"] == "forecast" {
        let handover = json!({"agentId": "cfo_strategy", "reason": "a question of strategy", "summary": format!("Invoice {invoice} is on the table.")});
        return (
            json!({"status": "completed", "message": "I hand over to the CFO's agent.", "handover": handover}),
            None,
        );
    }
    match arguments["decision"]["decision"].as_str() {
        Some("approve" | "edit" | "respond") => {}
        Some(_) => {
            let message = format!("Invoice {invoice} stays unpaid.");
            return (
                json!({"status": "completed", "message": message, "tasks": task("blocked", false)}),
                None,
            );
        }
        None if amount > APPROVAL_LIMIT => {
            let ask = json!({
                "reason": format!("Invoice {invoice} is above {APPROVAL_LIMIT} EUR."), "decisions": ["approve", "edit", "reject"],
                "schema": {"type": "object", "properties": {"amount": {"type": "number", "exclusiveMinimum": 0}}},
                "expiresInSeconds": 86_400, "risk": "medium", "approver": "other",
            });
            let message = format!("Invoice {invoice} needs an approval.");
            let answer = json!({"status": "needs_hitl", "message": message, "tasks": task("blocked", true), "ask": ask});
            return (answer, None);
        }
        None => {}
    }
    let with = json!({"invoice": invoice, "amount": amount});
    let answer = json!({
        "status": "completed", "message": format!("Invoice {invoice} is paid."), "output": with,
        "tasks": task("completed", false),
        "followUps": [{"agentId": "tax_compliance", "objective": format!("Check the VAT of invoice {invoice}"), "inputs": with}],
    });
    (answer, Some(("paid", with)))
}

fn check_vat(arguments: &Value) -> ToolOutcome {
    let (invoice, amount) = subject(arguments);
    let with = json!({"invoice": invoice, "vat": (amount * 19.0 / 119.0 * 100.0).round() / 100.0});
    let task = json!([{"id": format!("vat-{invoice}"), "title": format!("Check the VAT of invoice {invoice}"), "status": "completed"}]);
    let message = format!("The VAT of invoice {invoice} is right.");
    let answer = json!({"status": "completed", "message": message, "output": with, "tasks": task});
    (answer, Some(("vat_checked", with)))
}

fn accept_handover(arguments: &Value) -> ToolOutcome {
    let payload = &arguments["event"]["payload"];
    let summary = payload["summary"].as_str().unwrap_or("There is no summary.");
    let answer = json!({"status": "completed", "message": format!("I have taken over. {summary}"), "notices": ["no forecast yet"]});
    (answer, Some(("took_over", payload.clone())))
}
