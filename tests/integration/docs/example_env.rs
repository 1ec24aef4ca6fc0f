//! The environment of the documented examples: an organisation with the agents of the examples, a
//! caller, an approver and a session.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::openai::Workflow;
use local_stack::supabase::{OrgRole, User};
use local_stack::{Builder, LocalStack, http};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse, send_request};
use crate::support::example_matcher::ExampleMatcher;
use crate::support::openapi_document::{Document, Operation};
use crate::support::self_hosted::SelfHostedSession;

/// The placeholders of the examples, which `x-placeholders` explains.
pub const SESSION_ID: &str = "019aaa00-7c00-7000-8000-000000000001";
pub const USER_ID: &str = "019aaa00-7c00-7000-8000-0000000000aa";
pub const THREAD_ID: &str = "cthr_example";
pub const ESCALATION_ID: &str = "019aaa00-7c00-7000-8000-0000000000e1";
pub const SUBJECT_HASH: &str = "9f2c1b7a4e5d8036f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f701";

pub struct ExampleEnv {
    pub stack: LocalStack,
    pub caller: TestClient,
    /// A user who may read all sessions of the organisation.
    pub approver: TestClient,
    pub matcher: ExampleMatcher,
    /// A session of a self-hosted agent, of another user; opened by [`ExampleEnv::open_chat`].
    chat: Option<SelfHostedSession>,
}

/// The path of the function that streams, which is not part of the HTTP API.
const CHAT: &str = "/chatkit";

impl ExampleEnv {
    /// Starts a stack and registers the agents of the examples.
    pub async fn start(document: &Document, stack: Builder) -> Result<Self> {
        let stack = stack.start().await?;
        let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
        for agent in &document.agents()? {
            register_agent(&stack, &user, agent).await?;
        }
        let caller = TestClient::from_user(&stack, user);
        let approver = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Approver).await?;
        // The names of the examples.
        let names = "update auth.users as u
            set email = coalesce(n.email, u.email), raw_app_meta_data = u.raw_app_meta_data || n.metadata
            from (values ($1::uuid, 'clerk@example.com', '{}'::jsonb), ($2, null, '{\"name\": \"Approver A\"}'))
              as n (id, email, metadata)
            where u.id = n.id";
        sqlx::query(names).bind(caller.user.id).bind(approver.user.id).execute(stack.database()).await?;
        let mut matcher = ExampleMatcher::default();
        matcher.set(USER_ID, &caller.user.id.to_string());
        Ok(Self { stack, caller, approver, matcher, chat: None })
    }

    /// Opens the session that [`SESSION_ID`] stands for.
    pub async fn open_session(&mut self) -> Result<()> {
        let session = self.new_session().await?;
        self.matcher.set(SESSION_ID, &session);
        Ok(())
    }

    /// Opens the session of a self-hosted agent, whose client secret the chat expects.
    pub async fn open_chat(&mut self) -> Result<&SelfHostedSession> {
        Ok(self.chat.insert(SelfHostedSession::open(&self.stack).await?))
    }

    /// Opens another session and returns its id.
    pub async fn new_session(&self) -> Result<String> {
        let body = json!({ "agentId": AGENT, "metadata": { "locale": "en" } });
        let session = self.caller.post("/chatkit/sessions", body).await?.expect(201)?;
        Ok(session["id"].as_str().context("the session has no id")?.to_owned())
    }

    /// Opens another session, cancels it and returns its id.
    pub async fn ended_session(&self) -> Result<String> {
        let session = self.new_session().await?;
        self.caller.cancel(&format!("/chatkit/sessions/{session}")).await?.expect(200)?;
        Ok(session)
    }

    /// Creates the thread at ChatKit that [`THREAD_ID`] stands for.
    pub async fn create_thread(&mut self, title: &str) -> Result<()> {
        let query = "select chatkit_user from public.chatkit_users where user_id = $1";
        let user: String =
            sqlx::query_scalar(query).bind(self.caller.user.id).fetch_one(self.stack.database()).await?;
        let thread = self.stack.openai().put_thread(&user, Some(title), Vec::new())?;
        self.matcher.set(THREAD_ID, &thread);
        Ok(())
    }

    /// Lets the client secrets of the session expire in this time.
    pub async fn expire_secrets_in(&self, seconds: i32) -> Result<()> {
        let update = "update public.chatkit_sessions
            set expires_at = now() + make_interval(secs => $1) where session_id = $2";
        let session: Uuid = self.matcher.substitute(SESSION_ID).parse()?;
        sqlx::query(update).bind(f64::from(seconds)).bind(session).execute(self.stack.database()).await?;
        Ok(())
    }

    /// Opens the escalation that [`ESCALATION_ID`] stands for, by an event with this id. `changes`
    /// are additional or other fields of its payload.
    pub async fn open_escalation(&mut self, event_id: &str, changes: Value) -> Result<()> {
        let mut payload =
            json!({ "reason": "The amount is above my limit", "decisions": ["approve", "reject"] });
        for (name, value) in changes.as_object().into_iter().flatten() {
            payload[name] = value.clone();
        }
        let event = json!({ "id": event_id, "type": "hitl_escalation", "payload": payload });
        let recorded = self.caller.post(&self.events_path(), event).await?.expect(201)?;
        let id = recorded["events"][0]["escalationId"].as_str();
        self.set_escalation(id.context("the event opened no escalation")?).await
    }

    /// Lets [`ESCALATION_ID`] and [`SUBJECT_HASH`] stand for this escalation.
    pub async fn set_escalation(&mut self, id: &str) -> Result<()> {
        let query = "select subject_hash from public.chat_escalations where id = $1";
        let hash: String =
            sqlx::query_scalar(query).bind(id.parse::<Uuid>()?).fetch_one(self.stack.database()).await?;
        self.matcher.set(ESCALATION_ID, id);
        self.matcher.set(SUBJECT_HASH, &hash);
        Ok(())
    }

    /// Records an event for a tool with the policy `ask`, and returns the id of the escalation.
    pub async fn hold_payment(&self, event_id: &str) -> Result<String> {
        let org_id = self.caller.user.org_id;
        let tool = json!({
            "name": "pay", "policy": "ask", "risk": "high", "approver": "other",
            "comment_required": ["reject", "edit"],
            "display": [
                { "pointer": "/data/amount", "label": "Amount", "kind": "money",
                  "currency_pointer": "/data/currency" },
                { "pointer": "/data/supplier", "label": "Supplier", "kind": "party" },
            ],
        });
        self.stack.register_tool(org_id, AGENT, tool).await?;
        let click = json!({ "id": event_id, "type": "button_click",
            "payload": { "action": "pay", "data": {
                "invoice": 42, "amount": "12000.00", "currency": "EUR", "supplier": "Supplier A" } } });
        self.caller.post(&self.events_path(), click).await?.expect(201)?;
        self.stack.claim_deliveries().await?;
        let query = "select id from public.chat_escalations
            where org_id = $1 and kind = 'policy' and status = 'open'";
        let id: Uuid = sqlx::query_scalar(query).bind(org_id).fetch_one(self.stack.database()).await?;
        Ok(id.to_string())
    }

    /// Calls an RPC that records values in the session.
    pub async fn record_by_rpc(&self, name: &str, parameter: &str, values: Value) -> Result<()> {
        let session = self.matcher.substitute(SESSION_ID);
        let org_id = self.caller.user.org_id;
        let arguments = json!({ "p_org_id": org_id, "p_session_id": session, parameter: values });
        call_rpc(&self.stack, name, arguments).await
    }

    /// Registers an agent for these roles, with a workflow that OpenAI does not know.
    pub async fn register_agent_for(&self, id: &str, roles: &[&str]) -> Result<()> {
        let arguments = json!({
            "p_org_id": self.caller.user.org_id, "p_agent_id": id, "p_display_name": id,
            "p_description": "", "p_chatkit_workflow_id": "wf_unknown", "p_allowed_org_roles": roles,
        });
        call_rpc(&self.stack, "register_agent", arguments).await
    }

    /// Sets limits of the organisation, and resets those of earlier examples.
    pub async fn set_limits(&self, mut limits: Value) -> Result<()> {
        limits["p_org_id"] = json!(self.caller.user.org_id);
        limits["p_reset"] = json!(["secrets_per_minute_user", "active_sessions_user"]);
        call_rpc(&self.stack, "set_org_limits", limits).await
    }

    /// Uses up the caller's idempotency keys of a day.
    pub async fn exhaust_idempotency_keys(&self) -> Result<()> {
        let insert = "insert into public.throttles (org_id, scope, subject, kind, full_at)
            values ($1, 'user', $2, 'key', now() + interval '1 day')";
        let user = &self.caller.user;
        sqlx::query(insert).bind(user.org_id).bind(user.id).execute(self.stack.database()).await?;
        Ok(())
    }

    /// A valid request for an operation, with its first example as the body.
    pub fn request(&self, operation: &Operation<'_>) -> Result<Request> {
        let bodies = operation.bodies()?;
        // Members may not read metrics, and requesters may not claim their own payment.
        let is_approvers = ["get-metrics", "get-escalation", "claim-escalation", "release-escalation"]
            .contains(&operation.id);
        let client = if is_approvers { &self.approver } else { &self.caller };
        let token = match (operation.path, &self.chat) {
            (CHAT, Some(chat)) => &chat.client_secret,
            (CHAT, None) => anyhow::bail!("the chat has no session"),
            _ => &client.token,
        };
        let is_escalation = operation.path.starts_with("/chatkit/escalations");
        let id = if is_escalation { ESCALATION_ID } else { SESSION_ID };
        Ok(Request {
            method: operation.method.to_uppercase().parse()?,
            path: operation.path.replace("{id}", &self.matcher.substitute(id)),
            token: Some(token.clone()),
            headers: Vec::new(),
            body: bodies.first().map(|(_, body)| self.matcher.substitute(&body.to_string())),
        })
    }

    pub async fn send(&self, request: &Request) -> Result<TestResponse> {
        self.response(request).await
    }

    /// The response to a request, as a future that a task can own.
    pub fn response(&self, request: &Request) -> impl Future<Output = Result<TestResponse>> + Send + use<> {
        let base = if request.instance() == CHAT {
            self.stack.function_url("serve-chatkit")
        } else {
            self.stack.api_url()
        };
        let url = format!("{base}{}", request.path);
        let mut builder = http::client().request(request.method.clone(), url);
        if let Some(token) = &request.token {
            builder = builder.bearer_auth(token);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.header("content-type", "application/json").body(body.clone());
        }
        send_request(builder)
    }

    pub fn events_path(&self) -> String {
        format!("/chatkit/sessions/{}/events", self.matcher.substitute(SESSION_ID))
    }
}

#[derive(Clone)]
pub struct Request {
    pub method: Method,
    /// The path, with the query.
    pub path: String,
    pub token: Option<String>,
    /// Headers beside the token and the content type.
    pub headers: Vec<(String, String)>,
    /// Text, because some examples send invalid JSON.
    pub body: Option<String>,
}

impl Request {
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    /// Replaces the id of the session or the escalation in the path.
    pub fn with_id(mut self, operation: &Operation<'_>, id: &str) -> Self {
        self.path = operation.path.replace("{id}", id);
        self
    }

    pub fn with_body(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }

    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// The path without the query, as the problem field `instance` contains it.
    pub fn instance(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// Registers an agent of the examples, with a workflow of its own.
async fn register_agent(stack: &LocalStack, user: &User, agent: &Value) -> Result<()> {
    let field = |name: &str| agent[name].as_str().unwrap_or_default();
    let workflow = format!("wf_{}", Uuid::new_v4().simple());
    stack.openai().add_workflow(Workflow {
        id: workflow.clone(),
        project: local_stack::PROJECT.to_owned(),
        versions: vec!["1".to_owned()],
    });
    let arguments = json!({
        "p_org_id": user.org_id, "p_agent_id": field("id"), "p_display_name": field("displayName"),
        "p_description": field("description"), "p_chatkit_workflow_id": workflow,
        "p_chatkit_workflow_version": "1",
    });
    call_rpc(stack, "register_agent", arguments).await
}

async fn call_rpc(stack: &LocalStack, name: &str, arguments: Value) -> Result<()> {
    let (status, answer) = stack.rpc(name, arguments).await?;
    ensure!(status.is_success(), "expected that {name} succeeds, found {status}: {answer}");
    Ok(())
}
