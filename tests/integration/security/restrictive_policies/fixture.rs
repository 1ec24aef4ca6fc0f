//! An organisation with a policy, and rows for each attempt.

use anyhow::Result;
use http_client::Method;
use local_stack::LocalStack;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::attempts::{Attempt, AttemptKind};
use crate::support::client::{AGENT, TestClient, TestResponse, session_path};
use crate::support::escalations::{EscalationFixture, decision_body, decision_path};

pub struct Fixture<'a> {
    pub fixture: EscalationFixture<'a>,
    pub policy: &'static str,
}

/// A session with an open escalation, and the requests that created them.
#[derive(Clone)]
pub struct Rows {
    pub session: Value,
    pub escalation: Value,
    pub key: String,
    event: Value,
}

impl<'a> Fixture<'a> {
    /// Adds the policy after the organisation, whose users have a second factor.
    pub async fn new(stack: &'a LocalStack, policy: &'static str) -> Result<Self> {
        let mut fixture = EscalationFixture::new(stack, json!({})).await?;
        fixture.member = with_aal(stack, &fixture.member, "aal2");
        fixture.approver = with_aal(stack, &fixture.approver, "aal2");
        sqlx::raw_sql(policy).execute(stack.database()).await?;
        stack.supabase().reload_schema().await?;
        Ok(Self { fixture, policy })
    }

    pub async fn create_rows(&mut self) -> Result<Rows> {
        let key = Uuid::new_v4().to_string();
        let with_key = [("idempotency-key", key.as_str())];
        let member = &self.fixture.member;
        let opening = json!({ "agentId": AGENT });
        let session =
            member.send(Method::POST, "/chatkit/sessions", &with_key, Some(opening)).await?.expect(201)?;
        let session_path = session_path(&session);
        let with_resume_key = [("idempotency-key", &*format!("r{key}"))];
        let resume = Some(renewal(&session, "resume"));
        member.send(Method::POST, "/chatkit/sessions", &with_resume_key, resume).await?.expect(200)?;
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} });
        let events = format!("{session_path}/events");
        member.send(Method::POST, &events, &with_key, Some(event.clone())).await?.expect(201)?;
        self.fixture.session = session_path;
        let escalation = self.fixture.escalate_from_page(json!({})).await?;
        Ok(Rows { session, escalation, key, event })
    }

    /// A hash of every row that an attempt could change.
    pub async fn state(&self) -> Result<String> {
        let tables = [
            "chat_sessions",
            "chat_events",
            "chat_escalations",
            "chatkit_sessions",
            "idempotency_keys",
            "throttles",
        ];
        let rows = tables.map(|table| format!("select t::text as row from public.{table} as t"));
        let rows = rows.join(" union all ");
        let hash = format!("select md5(string_agg(row, ' ' order by row)) from ({rows}) as t");
        Ok(sqlx::query_scalar(AssertSqlSafe(hash)).fetch_one(self.fixture.stack.database()).await?)
    }

    /// Reads as the session's user.
    pub async fn read(&self, path: &str, aal: &str) -> Result<TestResponse> {
        with_aal(self.fixture.stack, &self.fixture.member, aal).get(path).await
    }

    /// Makes an attempt with tokens of this authenticator assurance level.
    pub async fn send(&self, attempt: &Attempt, aal: &str, rows: &Rows) -> Result<TestResponse> {
        let stack = self.fixture.stack;
        let member = with_aal(stack, &self.fixture.member, aal);
        let approver = with_aal(stack, &self.fixture.approver, aal);
        let with_key = [("idempotency-key", rows.key.as_str())];
        let with_resume_key = [("idempotency-key", &*format!("r{}", rows.key))];
        let with_new_key = [("idempotency-key", &*Uuid::new_v4().to_string())];
        let sessions = "/chatkit/sessions";
        let session = session_path(&rows.session);
        let events = format!("{session}/events");
        let opening = json!({ "agentId": AGENT });
        let resume = renewal(&rows.session, "resume");
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_beside", "payload": {} });
        let decision = json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": {
            "escalationId": rows.escalation["id"], "decision": "approve",
            "subjectHash": rows.escalation["subjectHash"] } });
        let decide = decision_path(&rows.escalation);
        match attempt.kind {
            AttemptKind::Open => member.post(sessions, opening).await,
            AttemptKind::OpenWithKey => {
                member.send(Method::POST, sessions, &with_new_key, Some(opening)).await
            }
            AttemptKind::RepeatOpen => member.send(Method::POST, sessions, &with_key, Some(opening)).await,
            AttemptKind::Resume => member.post(sessions, resume).await,
            AttemptKind::RepeatResume => {
                member.send(Method::POST, sessions, &with_resume_key, Some(resume)).await
            }
            AttemptKind::Refresh => member.post(sessions, renewal(&rows.session, "refresh")).await,
            AttemptKind::Record => member.post(&events, event).await,
            AttemptKind::RepeatRecord => member.post(&events, rows.event.clone()).await,
            AttemptKind::RepeatRecordWithKey => {
                member.send(Method::POST, &events, &with_key, Some(rows.event.clone())).await
            }
            AttemptKind::RecordDecision => member.post(&events, decision).await,
            AttemptKind::RecordDecisionInArray => member.post(&events, json!([event, decision])).await,
            AttemptKind::DecideAsRequester => {
                member.post(&decide, decision_body(&rows.escalation, "reject")).await
            }
            AttemptKind::DecideAsApprover => {
                approver.post(&decide, decision_body(&rows.escalation, "approve")).await
            }
            AttemptKind::Cancel => member.cancel(&session).await,
        }
    }
}

fn renewal(session: &Value, purpose: &str) -> Value {
    json!({ "sessionId": session["id"], "purpose": purpose })
}

fn with_aal(stack: &LocalStack, caller: &TestClient, aal: &str) -> TestClient {
    caller.with_token(stack.issuer().token_builder(&caller.user).claim("aal", aal).sign())
}
