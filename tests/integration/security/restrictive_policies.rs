//! What a project's own restrictive policies refuse a caller to read, no function writes for them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::On;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};
use crate::support::escalations::{EscalationFixture, decision_body, decision_path, without_request_ids};

/// As Supabase's documentation demands a second factor.
const OF_SESSIONS: &str =
    "create policy mfa on public.chat_sessions as restrictive for select to authenticated
    using ((select auth.jwt() ->> 'aal') = 'aal2')";
const OF_ESCALATIONS: &str =
    "create policy mfa on public.chat_escalations as restrictive for select to authenticated
    using ((select auth.jwt() ->> 'aal') = 'aal2')";
/// The same by a function that takes names from the search path, which is that of a request.
const BY_NAMES: &str = "
    create table public.demanded (aal text);
    insert into public.demanded values ('aal2');
    grant select on public.demanded to authenticated;
    create function public.meets_demand() returns boolean language plpgsql stable
    as 'begin return exists (select from demanded where aal = auth.jwt() ->> ''aal''); end';
    create policy mfa on public.chat_sessions as restrictive for select to authenticated
    using (public.meets_demand())";
/// The look taken out.
const BLIND: &str = "create or replace function chatkit_private.readable_ids(
      p_claims jsonb, p_session_ids uuid[], p_escalation_ids uuid[] default '{}')
    returns uuid[] language sql set search_path = '' as 'select p_session_ids || p_escalation_ids'";

/// A way to write, and what it is answered without a policy, under one of sessions, and under one of escalations.
struct Way {
    name: &'static str,
    taken: u16,
    of_sessions: (u16, &'static str),
    of_escalations: Option<(u16, &'static str)>,
}

const NO_SESSION: (u16, &str) = (404, "session_not_found");
const NO_ESCALATION: (u16, &str) = (404, "escalation_not_found");

const fn way(name: &'static str, taken: u16, of_sessions: (u16, &'static str)) -> Way {
    Way { name, taken, of_sessions, of_escalations: None }
}

const fn decision(name: &'static str, taken: u16, of_sessions: (u16, &'static str)) -> Way {
    Way { name, taken, of_sessions, of_escalations: Some(NO_ESCALATION) }
}

const WAYS: &[Way] = &[
    way("open", 201, (403, "row_policy_refused")),
    way("open under a key", 201, (403, "row_policy_refused")),
    way("open again under its key", 200, NO_SESSION),
    way("resume", 200, NO_SESSION),
    way("resume again under its key", 200, NO_SESSION),
    way("refresh", 200, NO_SESSION),
    way("event", 201, NO_SESSION),
    way("event again", 201, NO_SESSION),
    way("event again under its key", 201, NO_SESSION),
    decision("hitl_resolved", 201, NO_SESSION),
    decision("hitl_resolved in an array", 201, NO_SESSION),
    decision("decide as the requester", 200, NO_ESCALATION),
    decision("decide as an approver", 200, NO_ESCALATION),
    way("cancel", 200, NO_SESSION),
];

/// Somebody's token with or without a second factor.
fn with_aal(stack: &LocalStack, caller: &TestClient, aal: &str) -> TestClient {
    caller.with(stack.issuer().forge(&caller.user).claim("aal", aal).sign())
}

/// A session in which somebody is asked for, and what was sent in it.
#[derive(Clone)]
struct Fixture {
    session: Value,
    escalation: Value,
    key: String,
    event: Value,
}

struct Scene<'w> {
    office: EscalationFixture<'w>,
    policy: &'static str,
}

impl<'w> Scene<'w> {
    /// An organisation, and then the policy. Its people have a second factor where nothing else is said.
    async fn new(stack: &'w LocalStack, policy: &'static str) -> Result<Self> {
        let mut office = EscalationFixture::new(stack, json!({})).await?;
        office.member = with_aal(stack, &office.member, "aal2");
        office.approver = with_aal(stack, &office.approver, "aal2");
        sqlx::raw_sql(AssertSqlSafe(policy)).execute(stack.database()).await?;
        stack.supabase().reload_schema().await?;
        Ok(Self { office, policy })
    }

    async fn fixture(&mut self) -> Result<Fixture> {
        let key = Uuid::new_v4().to_string();
        let keyed = [("idempotency-key", key.as_str())];
        let member = &self.office.member;
        let open = json!({ "agentId": AGENT });
        let session =
            member.send(Method::POST, "/chatkit/sessions", &keyed, Some(open)).await?.expect(201)?;
        let path = crate::support::client::path(&session);
        let resumed = resume(&session, "resume");
        let again = [("idempotency-key", &*format!("r{key}"))];
        member.send(Method::POST, "/chatkit/sessions", &again, Some(resumed)).await?.expect(200)?;
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} });
        let events = format!("{path}/events");
        member.send(Method::POST, &events, &keyed, Some(event.clone())).await?.expect(201)?;
        self.office.session = path;
        let escalation = self.office.escalate_from_page(json!({})).await?;
        Ok(Fixture { session, escalation, key, event })
    }

    /// All that is kept of the organisation, as one text.
    async fn state(&self) -> Result<String> {
        let of = |table: &str| format!("select t::text as row from public.{table} as t");
        let tables = [
            "chat_sessions",
            "chat_events",
            "chat_escalations",
            "chatkit_sessions",
            "idempotency_keys",
            "throttles",
        ];
        let all = tables.map(of).join(" union all ");
        let all = format!("select md5(string_agg(row, ' ' order by row)) from ({all}) as t");
        Ok(sqlx::query_scalar(AssertSqlSafe(all)).fetch_one(self.office.stack.database()).await?)
    }

    /// Tries a way with this much of a factor.
    async fn attempt(&self, way: &str, aal: &str, it: &Fixture) -> Result<TestResponse> {
        let stack = self.office.stack;
        let (member, approver) =
            (with_aal(stack, &self.office.member, aal), with_aal(stack, &self.office.approver, aal));
        let keyed = [("idempotency-key", it.key.as_str())];
        let again = [("idempotency-key", &*format!("r{}", it.key))];
        let unused = [("idempotency-key", &*Uuid::new_v4().to_string())];
        let open = json!({ "agentId": AGENT });
        let sessions = "/chatkit/sessions";
        let path = crate::support::client::path(&it.session);
        let events = format!("{path}/events");
        let said = json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": {
            "escalationId": it.escalation["id"], "decision": "approve", "subjectHash": it.escalation["subjectHash"] } });
        let click = json!({ "id": Uuid::new_v4(), "type": "custom_beside", "payload": {} });
        match way {
            "open" => member.post(sessions, open).await,
            "open under a key" => member.send(Method::POST, sessions, &unused, Some(open)).await,
            "open again under its key" => member.send(Method::POST, sessions, &keyed, Some(open)).await,
            "resume" => member.post(sessions, resume(&it.session, "resume")).await,
            "resume again under its key" => {
                member.send(Method::POST, sessions, &again, Some(resume(&it.session, "resume"))).await
            }
            "refresh" => member.post(sessions, resume(&it.session, "refresh")).await,
            "event" => member.post(&events, click).await,
            "event again" => member.post(&events, it.event.clone()).await,
            "event again under its key" => {
                member.send(Method::POST, &events, &keyed, Some(it.event.clone())).await
            }
            "hitl_resolved" => member.post(&events, said).await,
            "hitl_resolved in an array" => member.post(&events, json!([click, said])).await,
            "decide as the requester" => {
                member.post(&decision_path(&it.escalation), decision_body(&it.escalation, "reject")).await
            }
            "decide as an approver" => {
                approver.post(&decision_path(&it.escalation), decision_body(&it.escalation, "approve")).await
            }
            "cancel" => member.cancel(&path).await,
            other => anyhow::bail!("no way {other}"),
        }
    }

    /// Every way: refused without the second factor where it is demanded, as for what does not exist, and then nothing is written
    /// nor OpenAI asked; and taken with it.
    async fn all(&mut self, refused: impl Fn(&Way) -> Option<(u16, &'static str)>) -> Result<()> {
        for way in WAYS {
            let it = self.fixture().await?;
            let about = |aal: &str| format!("{} with {aal} under {}", way.name, self.policy);
            if let Some((status, code)) = refused(way) {
                let asked = self.office.stack.openai().calls(On::CreateSession).len();
                let before = self.state().await?;
                let problem = self.attempt(way.name, "aal1", &it).await?;
                let problem = problem.problem(status, code).with_context(|| about("aal1"))?;
                if status == 404 && way.name != "open again under its key" {
                    let mut nobodys = it.clone();
                    let hidden =
                        if code == NO_SESSION.1 { &mut nobodys.session } else { &mut nobodys.escalation };
                    hidden["id"] = json!(Uuid::now_v7());
                    nobodys.key = Uuid::new_v4().to_string();
                    let nobodys = self.attempt(way.name, "aal1", &nobodys).await?.problem(404, code)?;
                    ensure!(
                        without_request_ids(problem) == without_request_ids(nobodys),
                        "{}",
                        about("aal1")
                    );
                }
                ensure!(self.state().await? == before, "{}: something was written", about("aal1"));
                let now = self.office.stack.openai().calls(On::CreateSession).len();
                ensure!(now == asked, "{}: OpenAI was asked", about("aal1"));
                self.attempt(way.name, "aal2", &it)
                    .await?
                    .expect(way.taken)
                    .with_context(|| about("aal2"))?;
            } else {
                self.attempt(way.name, "aal1", &it)
                    .await?
                    .expect(way.taken)
                    .with_context(|| about("aal1"))?;
            }
        }
        Ok(())
    }
}

fn resume(session: &Value, purpose: &str) -> Value {
    json!({ "sessionId": session["id"], "purpose": purpose })
}

// NAME: row policies: without one of a project's own, everything is written
#[tokio::test]
async fn without() -> Result<()> {
    let stack = LocalStack::start().await?;
    Scene::new(&stack, "select").await?.all(|_| None).await
}

// NAME: row policies: a session that a policy hides is not written to
#[tokio::test]
async fn of_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    Scene::new(&stack, OF_SESSIONS).await?.all(|way| Some(way.of_sessions)).await
}

// NAME: row policies: an escalation that a policy hides is not decided
#[tokio::test]
async fn of_escalations() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut scene = Scene::new(&stack, OF_ESCALATIONS).await?;
    scene.all(|way| way.of_escalations).await?;
    // However its id is spelled; the edge takes one spelling only.
    let it = scene.fixture().await?;
    let id = it.escalation["id"].as_str().context("no id")?;
    for spelling in [id.to_owned(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")] {
        let user = &scene.office.member.user;
        let arguments = json!({ "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": it.session["id"],
            "p_actor_type": "user", "p_actor_id": user.id, "p_events": [{
                "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": { "escalationId": spelling,
                "decision": "approve", "subjectHash": it.escalation["subjectHash"] } }] });
        let (status, answer) = stack.rpc("record_events", arguments).await?;
        ensure!(answer["message"] == "escalation_not_found", "{spelling}: {status} {answer}");
    }
    Ok(())
}

// NAME: row policies: a policy may take names from the search path
#[tokio::test]
async fn by_names() -> Result<()> {
    let stack = LocalStack::start().await?;
    Scene::new(&stack, BY_NAMES).await?.all(|way| Some(way.of_sessions)).await
}

// NAME: row policies: it is the look that refuses
/// Without the look all that is refused above is written, so nothing else refuses it.
#[tokio::test]
async fn blind() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut scene = Scene::new(&stack, OF_SESSIONS).await?;
    sqlx::raw_sql(BLIND).execute(stack.database()).await?;
    scene.all(|_| None).await
}

// NAME: row policies: whoever calls without claims, or with another's, does not pass them
/// The functions, called by the service with the secret key.
#[tokio::test]
async fn by_rpc() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut scene = Scene::new(&stack, "select").await?;
    let (user, approver) = (scene.office.member.user.clone(), scene.office.approver.user.clone());
    let claims = |user: &local_stack::supabase::User, aal: Option<&str>| {
        json!({
        "sub": user.id, "role": "authenticated", "aal": aal, "app_metadata": user.app_metadata() })
    };
    let elsewhere = local_stack::supabase::User { org_id: Uuid::new_v4(), ..user.clone() };
    // What is passed as claims, and what becomes of it without a policy and with one.
    let passed: [(&str, Option<Value>, Option<&str>, bool); 9] = [
        ("nothing", None, None, false),
        ("null", Some(Value::Null), None, false),
        ("the user's", Some(claims(&user, Some("aal1"))), None, false),
        ("the user's, with a second factor", Some(claims(&user, Some("aal2"))), None, true),
        ("an approver's", Some(claims(&approver, Some("aal2"))), Some("not_a_member"), false),
        ("the user's elsewhere", Some(claims(&elsewhere, Some("aal2"))), Some("not_a_member"), false),
        ("no object", Some(json!([1])), Some("not_a_member"), false),
        ("an empty object", Some(json!({})), Some("not_a_member"), false),
        ("a text", Some(json!("aal2")), Some("not_a_member"), false),
    ];
    for policy in [false, true] {
        if policy {
            sqlx::raw_sql(OF_SESSIONS).execute(stack.database()).await?;
        }
        for (who, claims, refused, passes) in &passed {
            let it = scene.fixture().await?;
            let session = &it.session["id"];
            let ids = json!({ "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": session });
            let calls = [
                (
                    "open_session",
                    "row_policy_refused",
                    json!({ "p_session_id": Uuid::now_v7(), "p_agent_id": AGENT,
                    "p_channel": "web", "p_metadata": {} }),
                ),
                (
                    "renew_chatkit_session",
                    "session_not_found",
                    json!({ "p_purpose": "refresh", "p_min_life_seconds": 0 }),
                ),
                (
                    "record_events",
                    "session_not_found",
                    json!({ "p_actor_type": "user", "p_actor_id": user.id,
                    "p_events": [{ "id": Uuid::new_v4(), "type": "custom_y", "payload": {} }] }),
                ),
                (
                    "decide_escalation",
                    "escalation_not_found",
                    json!({ "p_escalation_id": it.escalation["id"],
                    "p_decision": "approve", "p_subject_hash": it.escalation["subjectHash"] }),
                ),
                ("cancel_session", "session_not_found", json!({})),
            ];
            for (name, hidden, more) in calls {
                let mut arguments = ids.clone();
                let fields = arguments.as_object_mut().context("no object")?;
                fields.extend(more.as_object().context("no object")?.clone());
                if name == "decide_escalation" {
                    fields.remove("p_session_id");
                }
                fields.extend(claims.iter().map(|claims| ("p_claims".to_owned(), claims.clone())));
                let (status, answer) = stack.rpc(name, arguments).await?;
                let expected = refused.or_else(|| (policy && !passes).then_some(hidden));
                let said = answer["message"].as_str().filter(|_| !status.is_success());
                ensure!(said == expected, "{name} with {who}, policy: {policy}: {status} {answer}");
            }
        }
    }
    Ok(())
}

// NAME: row policies: what a policy hides is not waited for
/// Who may not read a session neither waits for its lock nor holds anybody up.
#[tokio::test]
async fn not_waited_for() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut scene = Scene::new(&stack, OF_SESSIONS).await?;
    let it = scene.fixture().await?;
    let mut held = stack.database().begin().await?;
    let lock = "select from chat_sessions where id = $1::uuid for update";
    sqlx::query(lock).bind(it.session["id"].as_str()).execute(&mut *held).await?;
    for way in WAYS.iter().filter(|way| way.of_sessions.0 == 404 && way.name != "open again under its key") {
        let attempt = scene.attempt(way.name, "aal1", &it);
        let answer = tokio::time::timeout(Duration::from_secs(2), attempt).await;
        let answer = answer.with_context(|| format!("{} waits", way.name))??;
        answer.problem(way.of_sessions.0, way.of_sessions.1)?;
    }
    held.rollback().await?;
    Ok(())
}
