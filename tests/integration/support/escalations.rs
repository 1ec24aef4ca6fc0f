//! An organisation in which somebody works and somebody else approves.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};

/// The people, and a session of the one who works.
pub struct Office<'w> {
    pub stack: &'w LocalStack,
    pub member: TestClient,
    pub approver: TestClient,
    pub session: String,
}

impl<'w> Office<'w> {
    /// Whose agent pays as this tool says; without a policy of its own it is held every time.
    pub async fn new(stack: &'w LocalStack, policy: Value) -> Result<Self> {
        // Calls are looked at here and not made.
        stack.webhook().inspect(|webhook| webhook.cut(true));
        let member = TestClient::new(stack).await?;
        let approver = TestClient::joining(stack, member.user.org_id, OrgRole::Approver).await?;
        let session = member.open_path().await?;
        let office = Self { stack, member, approver, session };
        office.policy(policy).await?;
        Ok(office)
    }

    /// From now on the tool is like this.
    pub async fn policy(&self, policy: Value) -> Result<()> {
        let mut tool = json!({ "name": "pay", "policy": "ask", "risk": "high", "approver": "other" });
        let fields = tool.as_object_mut().context("no object")?;
        fields.extend(policy.as_object().context("no object")?.clone());
        self.stack.register_tool(self.member.user.org_id, AGENT, tool).await
    }

    /// Somebody else of the organisation.
    pub async fn colleague(&self, role: OrgRole) -> Result<TestClient> {
        TestClient::joining(self.stack, self.member.user.org_id, role).await
    }

    /// A payment that the member asks for, and that is held.
    pub async fn held(&self, amount: u32) -> Result<Value> {
        let payload = json!({ "action": "pay", "data": { "invoice": 42, "amount": amount } });
        self.member.record(&self.session, "button_click", payload).await?.expect(201)?;
        let calls = self.stack.claim_all().await?;
        ensure!(calls.is_empty(), "the payment was not held: {calls:#?}");
        self.newest("policy").await
    }

    /// A question of the agent's, in the middle of a payment that is made without asking. Its tool is of low risk, so that whoever
    /// may answer it at all is enough.
    pub async fn asked(&self, ask: Value) -> Result<Value> {
        self.policy(json!({ "policy": "auto", "risk": "low", "approver": "self" })).await?;
        self.member.record(&self.session, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
        let calls = self.stack.claim_all().await?;
        let [call] = &calls[..] else { anyhow::bail!("{} calls", calls.len()) };
        self.stack.finish(call, json!({ "kind": "ask", "ask": ask })).await?;
        self.newest("agent_asked").await
    }

    /// A person that the member's page asks for.
    pub async fn browser(&self, more: Value) -> Result<Value> {
        let mut payload = json!({ "reason": "Too much", "decisions": ["approve", "reject"] });
        payload.as_object_mut().context("no object")?.extend(more.as_object().context("no object")?.clone());
        self.member.record(&self.session, "hitl_escalation", payload).await?.expect(201)?;
        self.newest("browser").await
    }

    /// The newest of a kind, as an approver is shown it.
    pub async fn newest(&self, kind: &str) -> Result<Value> {
        let list = self.approver.get("/chatkit/escalations").await?.expect(200)?;
        let list = list["escalations"].as_array().context("no list")?;
        let newest = list.iter().rfind(|escalation| escalation["kind"] == kind);
        newest.cloned().with_context(|| format!("nothing of kind {kind}: {list:#?}"))
    }

    /// The calls that are to be made now, less what is said of them each time.
    pub async fn calls(&self) -> Result<Vec<Value>> {
        self.stack.claim_all().await
    }

    /// One number from the database.
    pub async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.stack.database()).await?)
    }
}

/// The path of an escalation's decision.
pub fn door(escalation: &Value) -> String {
    format!("/chatkit/escalations/{}/decision", escalation["id"].as_str().unwrap_or_default())
}

/// A decision on what is shown.
pub fn body(escalation: &Value, decision: &str) -> Value {
    json!({ "decision": decision, "subjectHash": escalation["subjectHash"] })
}

/// Decides what is shown.
pub async fn decide(caller: &TestClient, escalation: &Value, decision: &str) -> Result<TestResponse> {
    caller.post(&door(escalation), body(escalation, decision)).await
}

/// The same, with an answer.
pub async fn answer(
    caller: &TestClient,
    escalation: &Value,
    decision: &str,
    answer: Value,
) -> Result<TestResponse> {
    let mut body = body(escalation, decision);
    body["answer"] = answer;
    caller.post(&door(escalation), body).await
}

/// The same under an idempotency key.
pub async fn keyed(caller: &TestClient, escalation: &Value, body: Value, key: &str) -> Result<TestResponse> {
    caller.send(Method::POST, &door(escalation), &[("idempotency-key", key)], Some(body)).await
}

/// An escalation that nobody has.
pub fn nobodys(escalation: &Value) -> Value {
    let mut other = escalation.clone();
    other["id"] = json!(Uuid::now_v7());
    other
}

/// A problem less what names the occurrence.
pub fn without_occurrence(mut problem: Value) -> Value {
    for part in ["instance", "requestId"] {
        problem.as_object_mut().map(|fields| fields.remove(part));
    }
    problem
}
