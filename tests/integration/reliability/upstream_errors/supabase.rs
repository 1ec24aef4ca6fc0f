//! Responses of Supabase with an error, and what the functions report.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{CannedResponse, Fault, OrgRole};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Row, rows};
use crate::support::client::{AGENT, TestClient, TestResponse};

#[tokio::test]
async fn transient_errors_are_retried_by_every_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let calls = Calls::new(&stack).await?;
    let mut tested = 0;
    for (row, names) in simulated_rows()?.into_iter().filter(|(row, _)| row.is_transient) {
        for (index, canned) in canned(&row).into_iter().enumerate() {
            for name in calls_for_response(&names, index) {
                stack.supabase().set_fault(Fault::Canned(canned.clone().times(1))).await;
                calls.send(name).await?.expect_success(&format!("{name} after {row:?}"))?;
                stack.supabase().set_fault(Fault::None).await;
                // A success refills the retry budget.
                calls.send(name).await?.expect_success(name)?;
                tested += 1;
            }
        }
    }
    ensure!(tested > 80, "expected more than 80 cases, found {tested}");
    Ok(())
}

#[tokio::test]
async fn every_error_returns_the_documented_code() -> Result<()> {
    let stack = LocalStack::start().await?;
    let calls = Calls::new(&stack).await?;
    let mut tested = 0;
    for (row, names) in simulated_rows()? {
        let (status, code) = row.expected.clone().context("no code")?;
        for (index, canned) in canned(&row).into_iter().enumerate() {
            stack.supabase().set_fault(Fault::Canned(canned.clone())).await;
            for name in calls_for_response(&names, index) {
                let response = calls.send(name).await?;
                let wait = response
                    .headers
                    .get("retry-after")
                    .and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
                response.problem(status, &code).with_context(|| format!("{name}: {canned:?}"))?;
                ensure!(
                    status != 503 || wait.is_some_and(|wait| (1..=120).contains(&wait)),
                    "{code}: {wait:?}"
                );
                tested += 1;
            }
        }
    }
    ensure!(tested > 200, "expected more than 200 cases, found {tested}");
    Ok(())
}

#[tokio::test]
async fn token_from_the_future_does_not_fail_a_run_or_the_doctor() -> Result<()> {
    let stack = LocalStack::start().await?;
    let _calls = Calls::new(&stack).await?;
    let future = || CannedResponse::postgrest(401, "PGRST303", "JWT issued at future").times(1);
    for function in ["expire-sessions", "route-events"] {
        stack.supabase().set_fault(Fault::Canned(future())).await;
        stack
            .run_job(function)
            .await
            .with_context(|| format!("a run of {function} after one rejected token"))?;
    }
    stack.supabase().set_fault(Fault::Canned(future())).await;
    let report = stack.invoke_admin("doctor", &json!({})).await?;
    ensure!(
        report["findings"].as_array().context("no findings")?.iter().all(|finding| {
            !matches!(finding["check"].as_str(), Some("supabase" | "secret_key" | "publishable_key"))
                || finding["status"] == "ok"
        }),
        "{report:#}"
    );
    Ok(())
}

#[tokio::test]
async fn retry_after_is_limited_to_120_seconds() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.get("/chatkit/sessions").await?.expect(200)?;
    for (sent, expected) in [
        ("7", "7"),
        ("86400", "120"),
        ("99999999999999999999999", "120"),
        ("-1", "2"),
        ("soon", "2"),
        ("", "2"),
    ] {
        stack
            .supabase()
            .set_fault(Fault::Canned(CannedResponse::html(503).header("retry-after", sent)))
            .await;
        let response = caller.get("/chatkit/sessions").await?;
        ensure!(
            response.headers["retry-after"] == expected,
            "{sent:?}: expected {expected}, found {:?}",
            response.headers["retry-after"]
        );
        response.problem(503, "supabase_unavailable")?;
    }
    Ok(())
}

#[tokio::test]
async fn unavailable_key_set_returns_its_cause() -> Result<()> {
    const AUTH: &str = "/auth/v1";
    for (canned, status, code) in [
        (CannedResponse::html(540), 503, "supabase_paused"),
        (CannedResponse::html(522), 503, "supabase_unavailable"),
        (CannedResponse::html(404), 502, "supabase_bad_answer"),
        (CannedResponse::gateway(401, "Invalid API key"), 502, "supabase_bad_answer"),
    ] {
        let stack = LocalStack::start().await?;
        stack.supabase().set_fault(Fault::Canned(canned.at(AUTH))).await;
        let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
        TestClient::from_user(&stack, user).get("/chatkit/agents").await?.problem(status, code)?;
    }
    Ok(())
}

/// API calls that send requests to Supabase.
struct Calls {
    caller: TestClient,
    approver: TestClient,
    session: String,
    /// The session that is cancelled.
    cancelled: String,
    escalation: Value,
}

/// Each call, and whether it sends the user's token to Supabase.
const CALLS: [(&str, bool); 10] = [
    ("list sessions", true),
    ("read a session", true),
    ("list messages", true),
    ("list agents", true),
    ("list escalations", true),
    ("read metrics", true),
    ("open", false),
    ("record", false),
    ("decide", false),
    ("cancel", false),
];

impl Calls {
    async fn new(stack: &LocalStack) -> Result<Self> {
        let caller = TestClient::new(stack).await?;
        stack.raise_limits(caller.user.org_id).await?;
        let approver = TestClient::in_organisation(stack, caller.user.org_id, OrgRole::Approver).await?;
        let session = caller.open_session_path().await?;
        let escalation = json!({ "reason": "Too much", "decisions": ["approve", "reject"] });
        caller.record_event(&session, "hitl_escalation", escalation).await?.expect(201)?;
        let list = approver.get("/chatkit/escalations").await?.expect(200)?;
        let cancelled = caller.open_session_path().await?;
        let calls = Self { caller, approver, session, cancelled, escalation: list["escalations"][0].clone() };
        // After one success each process has its connections and keys.
        for (name, _) in CALLS {
            calls.send(name).await?.expect_success(name)?;
        }
        Ok(calls)
    }

    async fn send(&self, name: &str) -> Result<TestResponse> {
        let (caller, session) = (&self.caller, &self.session);
        match name {
            "list sessions" => caller.get("/chatkit/sessions").await,
            "read a session" => caller.get(&format!("{session}?include=none")).await,
            "list messages" => caller.get(&format!("{session}/messages")).await,
            "list agents" => caller.get("/chatkit/agents").await,
            "list escalations" => self.approver.get("/chatkit/escalations").await,
            "read metrics" => self.approver.get("/chatkit/metrics").await,
            "open" => caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await,
            "record" => caller.record_event(session, "button_click", json!({ "action": "look" })).await,
            "decide" => {
                let id = self.escalation["id"].as_str().context("no escalation")?;
                let body = json!({ "decision": "approve", "subjectHash": self.escalation["subjectHash"] });
                self.approver.post(&format!("/chatkit/escalations/{id}/decision"), body).await
            }
            // The session has ended after the first call. Repeats return the same response.
            "cancel" => caller.cancel(&self.cancelled).await,
            _ => anyhow::bail!("unknown call {name}"),
        }
    }
}

impl TestResponse {
    fn expect_success(self, call: &str) -> Result<()> {
        ensure!(self.status.is_success(), "{call}: {} {:#}", self.status, self.body);
        Ok(())
    }
}

/// The responses that a row describes.
fn canned(row: &Row) -> Vec<CannedResponse> {
    let of_postgrest =
        |(status, code): (u16, String)| CannedResponse::postgrest(status, &code, row.message());
    match row.responder.as_str() {
        "PostgREST" => row.responses(500, "22P02").into_iter().map(of_postgrest).collect(),
        "gateway" => row
            .responses(500, "")
            .into_iter()
            .map(|(status, _)| CannedResponse::gateway(status, row.message()))
            .collect(),
        "other" => {
            row.responses(500, "").into_iter().map(|(status, _)| CannedResponse::html(status)).collect()
        }
        _ => vec![
            CannedResponse::postgrest(400, "22P02", "invalid input syntax"),
            CannedResponse::postgrest(409, "23505", "duplicate key value"),
            CannedResponse::gateway(404, "no Route matched with those values"),
            CannedResponse::html(404),
            CannedResponse::html(200),
            CannedResponse::new(200, "application/json", "{\"half\":"),
            CannedResponse::new(301, "text/html", ""),
        ],
    }
}

/// The rows that the fake can return, each with the calls that it applies to.
fn simulated_rows() -> Result<Vec<(Row, Vec<&'static str>)>> {
    let rows = rows("Supabase")?;
    ensure!(
        rows.iter().any(|row| row.cause == "Refused" && row.expected.is_none()),
        "no row whose response contains the code"
    );
    let rows = rows
        .into_iter()
        .filter(|row| !row.responder.starts_with("no response") && !row.responder.contains("MiB"));
    let with_calls = |row: Row| {
        let calls = CALLS.iter().filter(|(_, as_user)| row.as_user.is_none_or(|wanted| wanted == *as_user));
        let calls = calls.map(|(name, _)| *name).collect();
        (row, calls)
    };
    Ok(rows.filter(|row| row.expected.is_some()).map(with_calls).collect())
}

/// The calls that receive a row's response with this index: all calls the first response, and one
/// call after another the following responses.
fn calls_for_response(names: &[&'static str], index: usize) -> impl Iterator<Item = &'static str> {
    let is_selected = move |place: usize| index == 0 || (index + place).is_multiple_of(names.len());
    names.iter().enumerate().filter(move |(place, _)| is_selected(*place)).map(|(_, name)| *name)
}
