//! Fixture for escalations: an organisation with a member, an approver and a session.

use anyhow::{Context, Result, bail, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};

/// Two users of one organisation, and a session of the member.
pub struct EscalationFixture<'s> {
    pub stack: &'s LocalStack,
    pub member: TestClient,
    pub approver: TestClient,
    pub session: String,
}

impl<'s> EscalationFixture<'s> {
    /// Registers the tool `pay` with `fields`. Without fields, every call needs an approval.
    pub async fn new(stack: &'s LocalStack, fields: Value) -> Result<Self> {
        // The tests claim the calls themselves, so the dispatcher must not run.
        stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
        let member = TestClient::new(stack).await?;
        let approver = TestClient::in_organisation(stack, member.user.org_id, OrgRole::Approver).await?;
        let session = member.open_session_path().await?;
        let fixture = Self { stack, member, approver, session };
        fixture.register_pay_tool(fields).await?;
        Ok(fixture)
    }

    /// Replaces the registration of the tool `pay`.
    pub async fn register_pay_tool(&self, fields: Value) -> Result<()> {
        let mut tool = json!({ "name": "pay", "policy": "ask", "risk": "high", "approver": "other" });
        merge(&mut tool, &fields)?;
        self.stack.register_tool(self.member.user.org_id, AGENT, tool).await
    }

    /// Adds a user to the organisation.
    pub async fn add_colleague(&self, role: OrgRole) -> Result<TestClient> {
        TestClient::in_organisation(self.stack, self.member.user.org_id, role).await
    }

    /// Requests a payment as the member, and returns the escalation of the held call.
    pub async fn hold_payment(&self, amount: u32) -> Result<Value> {
        let payload = json!({ "action": "pay", "data": { "invoice": 42, "amount": amount } });
        self.member.record_event(&self.session, "button_click", payload).await?.expect(201)?;
        let calls = self.stack.claim_deliveries().await?;
        ensure!(calls.is_empty(), "expected the payment to be held, claimed {calls:#?}");
        self.newest_escalation("policy").await
    }

    /// Escalates `ask` as the agent, during a payment that needs no approval. The tool has a low
    /// risk, so the approver of the question is decided by `ask` alone.
    pub async fn ask_as_agent(&self, ask: Value) -> Result<Value> {
        self.register_pay_tool(json!({ "policy": "auto", "risk": "low", "approver": "self" })).await?;
        self.member
            .record_event(&self.session, "button_click", json!({ "action": "pay" }))
            .await?
            .expect(201)?;
        let calls = self.stack.claim_deliveries().await?;
        let [call] = &calls[..] else { bail!("expected one call, claimed {}", calls.len()) };
        self.stack.finish_delivery(call, json!({ "kind": "ask", "ask": ask })).await?;
        self.newest_escalation("agent_asked").await
    }

    /// Escalates from the member's page.
    pub async fn escalate_from_page(&self, fields: Value) -> Result<Value> {
        let mut payload = json!({ "reason": "Too much", "decisions": ["approve", "reject"] });
        merge(&mut payload, &fields)?;
        self.member.record_event(&self.session, "hitl_escalation", payload).await?.expect(201)?;
        self.newest_escalation("browser").await
    }

    /// The newest open escalation of this kind, as the approver reads it.
    pub async fn newest_escalation(&self, kind: &str) -> Result<Value> {
        let body = self.approver.get("/chatkit/escalations").await?.expect(200)?;
        let open = body["escalations"].as_array().context("the response has no escalations")?;
        let newest = open.iter().rfind(|escalation| escalation["kind"] == kind);
        newest.cloned().with_context(|| format!("expected an escalation of kind {kind}: {open:#?}"))
    }

    pub async fn claim_calls(&self) -> Result<Vec<Value>> {
        self.stack.claim_deliveries().await
    }

    /// Runs a query that returns one number.
    pub async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.stack.database()).await?)
    }
}

fn merge(object: &mut Value, fields: &Value) -> Result<()> {
    let object = object.as_object_mut().context("expected an object")?;
    object.extend(fields.as_object().context("expected an object of fields")?.clone());
    Ok(())
}

pub fn decision_path(escalation: &Value) -> String {
    format!("/chatkit/escalations/{}/decision", escalation["id"].as_str().unwrap_or_default())
}

/// A decision that quotes the displayed subject hash.
pub fn decision_body(escalation: &Value, decision: &str) -> Value {
    json!({ "decision": decision, "subjectHash": escalation["subjectHash"] })
}

pub async fn decide(client: &TestClient, escalation: &Value, decision: &str) -> Result<TestResponse> {
    client.post(&decision_path(escalation), decision_body(escalation, decision)).await
}

pub async fn decide_with_answer(
    client: &TestClient,
    escalation: &Value,
    decision: &str,
    answer: Value,
) -> Result<TestResponse> {
    let mut body = decision_body(escalation, decision);
    body["answer"] = answer;
    client.post(&decision_path(escalation), body).await
}

/// Sends a decision with an idempotency key.
pub async fn decide_with_key(
    client: &TestClient,
    escalation: &Value,
    body: Value,
    key: &str,
) -> Result<TestResponse> {
    let headers = [("idempotency-key", key)];
    client.send(Method::POST, &decision_path(escalation), &headers, Some(body)).await
}

/// The same escalation with an id that does not exist.
pub fn with_unknown_id(escalation: &Value) -> Value {
    let mut unknown = escalation.clone();
    unknown["id"] = json!(Uuid::now_v7());
    unknown
}

/// A problem without the fields that differ in every response.
pub fn without_request_ids(mut problem: Value) -> Value {
    for field in ["instance", "requestId"] {
        problem.as_object_mut().map(|fields| fields.remove(field));
    }
    problem
}
