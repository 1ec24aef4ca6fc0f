//! Supabase's rows.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{Canned, Fault, OrgRole};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Row, rows};
use crate::support::client::{AGENT, TestClient, TestResponse};

/// What the functions ask of Supabase, and whose token goes along.
struct Calls {
    caller: TestClient,
    approver: TestClient,
    session: String,
    /// Another session, which is cancelled.
    ended: String,
    escalation: Value,
}

/// Each call, and whether it reads with the user's own token.
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
        let approver = TestClient::joining(stack, caller.user.org_id, OrgRole::Approver).await?;
        let session = caller.open_path().await?;
        let asked = json!({ "reason": "Too much", "decisions": ["approve", "reject"] });
        caller.record(&session, "hitl_escalation", asked).await?.expect(201)?;
        let list = approver.get("/chatkit/escalations").await?.expect(200)?;
        let ended = caller.open_path().await?;
        let calls = Self { caller, approver, session, ended, escalation: list["escalations"][0].clone() };
        // Each has succeeded once: a process that is up has connections and keys.
        for (name, _) in CALLS {
            calls.ask(name).await?.expect_success(name)?;
        }
        Ok(calls)
    }

    async fn ask(&self, name: &str) -> Result<TestResponse> {
        let (caller, session) = (&self.caller, &self.session);
        match name {
            "list sessions" => caller.get("/chatkit/sessions").await,
            "read a session" => caller.get(&format!("{session}?include=none")).await,
            "list messages" => caller.get(&format!("{session}/messages")).await,
            "list agents" => caller.get("/chatkit/agents").await,
            "list escalations" => self.approver.get("/chatkit/escalations").await,
            "read metrics" => self.approver.get("/chatkit/metrics").await,
            "open" => caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await,
            "record" => caller.record(session, "button_click", json!({ "action": "look" })).await,
            "decide" => {
                let id = self.escalation["id"].as_str().context("nobody is asked")?;
                let body = json!({ "decision": "approve", "subjectHash": self.escalation["subjectHash"] });
                self.approver.post(&format!("/chatkit/escalations/{id}/decision"), body).await
            }
            // Again and again the same.
            "cancel" => caller.cancel(&self.ended).await,
            _ => anyhow::bail!("no call {name}"),
        }
    }
}

impl TestResponse {
    fn expect_success(self, what: &str) -> Result<()> {
        ensure!(self.status.is_success(), "{what}: {} {:#}", self.status, self.body);
        Ok(())
    }
}

/// The answers of a row, as they come.
fn canned(row: &Row) -> Vec<Canned> {
    let of_postgrest = |(status, code): (u16, String)| Canned::postgrest(status, &code, row.message());
    match row.speaker.as_str() {
        "PostgREST" => row.answers(500, "22P02").into_iter().map(of_postgrest).collect(),
        "gateway" => row
            .answers(500, "")
            .into_iter()
            .map(|(status, _)| Canned::gateway(status, row.message()))
            .collect(),
        "other" => row.answers(500, "").into_iter().map(|(status, _)| Canned::html(status)).collect(),
        _ => vec![
            Canned::postgrest(400, "22P02", "invalid input syntax"),
            Canned::postgrest(409, "23505", "duplicate key value"),
            Canned::gateway(404, "no Route matched with those values"),
            Canned::html(404),
            Canned::html(200),
            Canned::new(200, "application/json", "{\"half\":"),
            Canned::new(301, "text/html", ""),
        ],
    }
}

/// The rows that a test can play as an answer, with the calls that they are about.
fn played() -> Result<Vec<(Row, Vec<&'static str>)>> {
    let rows = rows("Supabase")?;
    ensure!(rows.iter().any(|row| row.cause == "Refused" && row.answer.is_none()), "no row of our own codes");
    let rows = rows
        .into_iter()
        .filter(|row| !row.speaker.starts_with("no response") && !row.speaker.contains("MiB"));
    let of = |row: Row| {
        let calls = CALLS.iter().filter(|(_, as_user)| row.as_user.is_none_or(|wanted| wanted == *as_user));
        let calls = calls.map(|(name, _)| *name).collect();
        (row, calls)
    };
    Ok(rows.filter(|row| row.answer.is_some()).map(of).collect())
}

/// The calls that get a row's answer of this number: the first one every call, the others in turn.
fn in_turn(names: &[&'static str], index: usize) -> impl Iterator<Item = &'static str> {
    let is_its_turn = move |place: usize| index == 0 || (index + place).is_multiple_of(names.len());
    names.iter().enumerate().filter(move |(place, _)| is_its_turn(*place)).map(|(_, name)| *name)
}

// NAME: upstream errors: what passes at Supabase is repeated, by every call
#[tokio::test]
async fn passes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let calls = Calls::new(&stack).await?;
    let mut tried = 0;
    for (row, names) in played()?.into_iter().filter(|(row, _)| row.passes) {
        for (index, canned) in canned(&row).into_iter().enumerate() {
            for name in in_turn(&names, index) {
                stack.supabase().fault(Fault::Canned(canned.clone().times(1))).await;
                calls.ask(name).await?.expect_success(&format!("{name} after one {row:?}"))?;
                stack.supabase().fault(Fault::None).await;
                // Retries are paid for by successes.
                calls.ask(name).await?.expect_success(name)?;
                tried += 1;
            }
        }
    }
    ensure!(tried > 80, "only {tried} were tried");
    Ok(())
}

// NAME: upstream errors: what stays at Supabase is answered as the page says, by every call
#[tokio::test]
async fn stays() -> Result<()> {
    let stack = LocalStack::start().await?;
    let calls = Calls::new(&stack).await?;
    let mut tried = 0;
    for (row, names) in played()? {
        let (status, code) = row.answer.clone().context("no code")?;
        for (index, canned) in canned(&row).into_iter().enumerate() {
            stack.supabase().fault(Fault::Canned(canned.clone())).await;
            for name in in_turn(&names, index) {
                let reply = calls.ask(name).await?;
                let wait =
                    reply.headers.get("retry-after").and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
                reply.problem(status, &code).with_context(|| format!("{name}: {canned:?}"))?;
                ensure!(
                    status != 503 || wait.is_some_and(|wait| (1..=120).contains(&wait)),
                    "{code}: {wait:?}"
                );
                tried += 1;
            }
        }
    }
    ensure!(tried > 200, "only {tried} were tried");
    Ok(())
}

// NAME: upstream errors: one token issued in the future is nobody's key and no run's failure
#[tokio::test]
async fn hiccup() -> Result<()> {
    let stack = LocalStack::start().await?;
    let calls = Calls::new(&stack).await?;
    let future = || Canned::postgrest(401, "PGRST303", "JWT issued at future").times(1);
    for function in ["expire-sessions", "route-events"] {
        stack.supabase().fault(Fault::Canned(future())).await;
        stack.run_job(function).await.with_context(|| format!("a run of {function} after one hiccup"))?;
    }
    stack.supabase().fault(Fault::Canned(future())).await;
    let report = stack.invoke_admin("doctor", &json!({})).await?;
    ensure!(
        report["findings"].as_array().context("no findings")?.iter().all(|finding| {
            !matches!(finding["check"].as_str(), Some("supabase" | "secret_key" | "publishable_key"))
                || finding["status"] == "ok"
        }),
        "{report:#}"
    );
    drop(calls);
    Ok(())
}

// NAME: upstream errors: an absurd Retry-After of Supabase is passed on bounded
#[tokio::test]
async fn bounded() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.get("/chatkit/sessions").await?.expect(200)?;
    for (asked, told) in [
        ("7", "7"),
        ("86400", "120"),
        ("99999999999999999999999", "120"),
        ("-1", "2"),
        ("soon", "2"),
        ("", "2"),
    ] {
        stack.supabase().fault(Fault::Canned(Canned::html(503).header("retry-after", asked))).await;
        let reply = caller.get("/chatkit/sessions").await?;
        ensure!(reply.headers["retry-after"] == told, "{asked:?} became {:?}", reply.headers["retry-after"]);
        reply.problem(503, "supabase_unavailable")?;
    }
    Ok(())
}

// NAME: upstream errors: a key set that cannot be had says why
#[tokio::test]
async fn key_set() -> Result<()> {
    const AUTH: &str = "/auth/v1";
    for (canned, status, code) in [
        (Canned::html(540), 503, "supabase_paused"),
        (Canned::html(522), 503, "supabase_unavailable"),
        (Canned::html(404), 502, "supabase_bad_answer"),
        (Canned::gateway(401, "Invalid API key"), 502, "supabase_bad_answer"),
    ] {
        let stack = LocalStack::start().await?;
        stack.supabase().fault(Fault::Canned(canned.at(AUTH))).await;
        let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
        TestClient::of(&stack, user).get("/chatkit/agents").await?.problem(status, code)?;
    }
    Ok(())
}
