//! What a project's own restrictive policies refuse a caller to read, no function writes for them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::World;
use local_stack::openai::On;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::client::{AGENT, Caller, Reply};
use crate::support::escalations::{Office, body, door, without_occurrence};

/// Somebody's token with or without a second factor.
fn with_aal(world: &World, caller: &Caller, aal: &str) -> Caller {
    caller.with(world.issuer().forge(&caller.user).claim("aal", aal).sign())
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
    office: Office<'w>,
    policy: &'static str,
}

impl<'w> Scene<'w> {
    /// An organisation, and then the policy. Its people have a second factor where nothing else is said.
    async fn new(world: &'w World, policy: &'static str) -> Result<Self> {
        let mut office = Office::new(world, json!({})).await?;
        office.member = with_aal(world, &office.member, "aal2");
        office.approver = with_aal(world, &office.approver, "aal2");
        sqlx::raw_sql(AssertSqlSafe(policy)).execute(world.database()).await?;
        world.supabase().reload_schema().await?;
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
        let escalation = self.office.browser(json!({})).await?;
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
        Ok(sqlx::query_scalar(AssertSqlSafe(all)).fetch_one(self.office.world.database()).await?)
    }

    /// Tries a way with this much of a factor.
    async fn attempt(&self, way: &str, aal: &str, it: &Fixture) -> Result<Reply> {
        let world = self.office.world;
        let (member, approver) =
            (with_aal(world, &self.office.member, aal), with_aal(world, &self.office.approver, aal));
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
                member.post(&door(&it.escalation), body(&it.escalation, "reject")).await
            }
            "decide as an approver" => {
                approver.post(&door(&it.escalation), body(&it.escalation, "approve")).await
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
                let asked = self.office.world.chatkit().calls(On::CreateSession).len();
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
                    ensure!(without_occurrence(problem) == without_occurrence(nobodys), "{}", about("aal1"));
                }
                ensure!(self.state().await? == before, "{}: something was written", about("aal1"));
                let now = self.office.world.chatkit().calls(On::CreateSession).len();
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
    let world = World::start().await?;
    Scene::new(&world, "select").await?.all(|_| None).await
}

// NAME: row policies: a session that a policy hides is not written to
#[tokio::test]
async fn of_sessions() -> Result<()> {
    let world = World::start().await?;
    Scene::new(&world, OF_SESSIONS).await?.all(|way| Some(way.of_sessions)).await
}

// NAME: row policies: an escalation that a policy hides is not decided
#[tokio::test]
async fn of_escalations() -> Result<()> {
    let world = World::start().await?;
    let mut scene = Scene::new(&world, OF_ESCALATIONS).await?;
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
        let (status, answer) = world.rpc("record_events", arguments).await?;
        ensure!(answer["message"] == "escalation_not_found", "{spelling}: {status} {answer}");
    }
    Ok(())
}

// NAME: row policies: a policy may take names from the search path
#[tokio::test]
async fn by_names() -> Result<()> {
    let world = World::start().await?;
    Scene::new(&world, BY_NAMES).await?.all(|way| Some(way.of_sessions)).await
}

// NAME: row policies: it is the look that refuses
/// Without the look all that is refused above is written, so nothing else refuses it.
#[tokio::test]
async fn blind() -> Result<()> {
    let world = World::start().await?;
    let mut scene = Scene::new(&world, OF_SESSIONS).await?;
    sqlx::raw_sql(BLIND).execute(world.database()).await?;
    scene.all(|_| None).await
}

// NAME: row policies: whoever calls without claims, or with another's, does not pass them
/// The functions, called by the service with the secret key.
#[tokio::test]
async fn by_rpc() -> Result<()> {
    let world = World::start().await?;
    let mut scene = Scene::new(&world, "select").await?;
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
            sqlx::raw_sql(OF_SESSIONS).execute(world.database()).await?;
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
                let (status, answer) = world.rpc(name, arguments).await?;
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
    let world = World::start().await?;
    let mut scene = Scene::new(&world, OF_SESSIONS).await?;
    let it = scene.fixture().await?;
    let mut held = world.database().begin().await?;
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
