//! Where the examples are played: an organisation with the agents of the examples, a caller, and a session of theirs.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::openai::Workflow;
use local_stack::supabase::{OrgRole, User};
use local_stack::{Builder, LocalStack, http};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse, reply};
use crate::support::example_matcher::Likeness;
use crate::support::openapi_document::{Document, Operation};

/// The names that the examples have for what is different each time, as `x-placeholders` explains them.
pub const SESSION: &str = "019aaa00-7c00-7000-8000-000000000001";
pub const USER: &str = "019aaa00-7c00-7000-8000-0000000000aa";
pub const THREAD: &str = "cthr_example";
pub const ESCALATION: &str = "019aaa00-7c00-7000-8000-0000000000e1";
pub const HASH: &str = "9f2c1b7a4e5d8036f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f701";

pub struct Stage {
    pub stack: LocalStack,
    pub caller: TestClient,
    /// Somebody of the same organisation who sees all of it.
    pub approver: TestClient,
    pub likeness: Likeness,
}

/// A request that is about to be sent.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub token: Option<String>,
    /// Beside those that every request has.
    pub headers: Vec<(String, String)>,
    /// As text, since it may be none of JSON.
    pub body: Option<String>,
}

impl Stage {
    /// A stage on which the agents of the document's examples can be talked to.
    pub async fn set(document: &Document, stack: Builder) -> Result<Self> {
        let stack = stack.start().await?;
        let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
        for agent in &document.agents()? {
            let name = |field: &str| agent[field].as_str().unwrap_or_default();
            register(&stack, &user, name("id"), name("displayName"), name("description")).await?;
        }
        let caller = TestClient::of(&stack, user);
        let approver = TestClient::joining(&stack, caller.user.org_id, OrgRole::Approver).await?;
        let mut likeness = Likeness::default();
        likeness.put(USER, &caller.user.id.to_string());
        Ok(Self { stack, caller, approver, likeness })
    }

    /// Opens the session that the examples speak of.
    pub async fn open(&mut self) -> Result<()> {
        let session = self.new_session().await?;
        self.likeness.put(SESSION, &session);
        Ok(())
    }

    /// Opens a session, and answers with its id.
    pub async fn new_session(&self) -> Result<String> {
        let body = json!({ "agentId": AGENT, "metadata": { "locale": "en" } });
        let session = self.caller.post("/chatkit/sessions", body).await?.expect(201)?;
        Ok(session["id"].as_str().context("no id")?.to_owned())
    }

    /// A session that has ended.
    pub async fn ended_session(&self) -> Result<String> {
        let session = self.new_session().await?;
        self.caller.cancel(&format!("/chatkit/sessions/{session}")).await?.expect(200)?;
        Ok(session)
    }

    /// A thread of the caller's at ChatKit, in the place of the examples'.
    pub async fn begin_thread(&mut self, title: &str) -> Result<()> {
        let find = "select chatkit_user from public.chatkit_users where user_id = $1";
        let user: String =
            sqlx::query_scalar(find).bind(self.caller.user.id).fetch_one(self.stack.database()).await?;
        let thread = self.stack.openai().put_thread(&user, Some(title), Vec::new())?;
        self.likeness.put(THREAD, &thread);
        Ok(())
    }

    /// Leaves the newest client secret of the session so much time to live.
    pub async fn age_secret(&self, seconds: i32) -> Result<()> {
        let age = "update public.chatkit_sessions set expires_at = now() + make_interval(secs => $1) where session_id = $2";
        let session: Uuid = self.likeness.filled(SESSION).parse()?;
        sqlx::query(age).bind(f64::from(seconds)).bind(session).execute(self.stack.database()).await?;
        Ok(())
    }

    /// Opens an escalation in the session, in the place of the examples'. Those of browsers offer what the caller may decide.
    pub async fn ask(&mut self, event: &str, more: Value) -> Result<()> {
        let mut payload =
            json!({ "reason": "The amount is above my limit", "decisions": ["approve", "reject"] });
        payload
            .as_object_mut()
            .into_iter()
            .for_each(|all| all.extend(more.as_object().cloned().unwrap_or_default()));
        let event = json!({ "id": event, "type": "hitl_escalation", "payload": payload });
        let path = format!("/chatkit/sessions/{}/events", self.likeness.filled(SESSION));
        let recorded = self.caller.post(&path, event).await?.expect(201)?;
        self.show(recorded["events"][0]["escalationId"].as_str().context("nothing was asked")?).await
    }

    /// An open escalation takes the place of the examples'.
    pub async fn show(&mut self, id: &str) -> Result<()> {
        let find = "select subject_hash from public.chat_escalations where id = $1";
        let hash: String =
            sqlx::query_scalar(find).bind(id.parse::<Uuid>()?).fetch_one(self.stack.database()).await?;
        self.likeness.put(ESCALATION, id);
        self.likeness.put(HASH, &hash);
        Ok(())
    }

    /// A payment of the session that is held, as its policy says; answers with the escalation's id.
    pub async fn hold(&self, event: &str) -> Result<String> {
        let org_id = self.caller.user.org_id;
        let tool = json!({ "name": "pay", "policy": "ask", "risk": "high", "approver": "other" });
        self.stack.register_tool(org_id, AGENT, tool).await?;
        let click = json!({ "id": event, "type": "button_click",
            "payload": { "action": "pay", "data": { "invoice": 42, "amount": 12000 } } });
        let path = format!("/chatkit/sessions/{}/events", self.likeness.filled(SESSION));
        self.caller.post(&path, click).await?.expect(201)?;
        self.stack.claim_all().await?;
        let find = "select id from public.chat_escalations where org_id = $1 and kind = 'policy' and status = 'open'";
        let id: Uuid = sqlx::query_scalar(find).bind(org_id).fetch_one(self.stack.database()).await?;
        Ok(id.to_string())
    }

    /// Calls an RPC for the session.
    pub async fn rpc(&self, name: &str, what: &str, values: Value) -> Result<()> {
        let session = self.likeness.filled(SESSION);
        let arguments = json!({ "p_org_id": self.caller.user.org_id, "p_session_id": session, what: values });
        let (status, answer) = self.stack.rpc(name, arguments).await?;
        ensure!(status.is_success(), "{name} answered {status}: {answer}");
        Ok(())
    }

    /// Registers an agent whose workflow OpenAI does not know, open to these roles.
    pub async fn another_agent(&self, id: &str, roles: &[&str]) -> Result<()> {
        let arguments = json!({
            "p_org_id": self.caller.user.org_id, "p_agent_id": id, "p_display_name": id, "p_description": "",
            "p_chatkit_workflow_id": "wf_unknown", "p_allowed_org_roles": roles,
        });
        let (status, answer) = self.stack.rpc("register_agent", arguments).await?;
        ensure!(status.is_success(), "register_agent answered {status}: {answer}");
        Ok(())
    }

    /// The request that an operation's description leads to: with the id of the session or the escalation, the first example of
    /// a body, no query.
    pub fn request(&self, operation: &Operation<'_>) -> Result<Request> {
        let bodies = operation.bodies()?;
        // Members are told no metrics.
        let who = if operation.id == "get-metrics" { &self.approver } else { &self.caller };
        let what = if operation.path.starts_with("/chatkit/escalations") { ESCALATION } else { SESSION };
        Ok(Request {
            method: operation.method.to_uppercase().parse()?,
            path: operation.path.replace("{id}", &self.likeness.filled(what)),
            token: Some(who.token.clone()),
            headers: Vec::new(),
            body: bodies.first().map(|(_, body)| self.likeness.filled(&body.to_string())),
        })
    }

    /// Sets what a minute allows the organisation.
    pub async fn limit(&self, mut limits: Value) -> Result<()> {
        limits["p_org_id"] = json!(self.caller.user.org_id);
        let (status, answer) = self.stack.rpc("set_org_limits", limits).await?;
        ensure!(status.is_success(), "set_org_limits answered {status}: {answer}");
        Ok(())
    }

    /// Lets the caller have used all of a day's idempotency keys.
    pub async fn use_up_keys(&self) -> Result<()> {
        let used = "insert into public.throttles (org_id, scope, subject, kind, full_at)
            values ($1, 'user', $2, 'key', now() + interval '1 day')";
        let user = &self.caller.user;
        sqlx::query(used).bind(user.org_id).bind(user.id).execute(self.stack.database()).await?;
        Ok(())
    }

    /// Sends a request and waits for its answer.
    pub async fn send(&self, request: &Request) -> Result<TestResponse> {
        self.sending(request).await
    }

    /// The same, to be waited for elsewhere or not at all.
    pub fn sending(&self, request: &Request) -> impl Future<Output = Result<TestResponse>> + Send + use<> {
        let url = format!("{}{}", self.stack.api_url(), request.path);
        let mut call = http::client().request(request.method.clone(), url);
        if let Some(token) = &request.token {
            call = call.bearer_auth(token);
        }
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        if let Some(body) = &request.body {
            call = call.header("content-type", "application/json").body(body.clone());
        }
        reply(call)
    }
}

impl Request {
    /// Sends this header along.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for this path instead, or for this query on top of it.
    pub fn at(mut self, path: &str) -> Self {
        match path.strip_prefix('?') {
            Some(query) => self.path = format!("{}?{query}", self.path),
            None => path.clone_into(&mut self.path),
        }
        self
    }

    /// About this session or escalation instead.
    pub fn about(self, operation: &Operation<'_>, id: &str) -> Self {
        let path = operation.path.replace("{id}", id);
        self.at(&path)
    }

    pub fn with(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self
    }

    pub fn by(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// The path without the query.
    pub fn instance(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

async fn register(stack: &LocalStack, user: &User, id: &str, name: &str, description: &str) -> Result<()> {
    let workflow = format!("wf_{}", Uuid::new_v4().simple());
    stack.openai().add_workflow(Workflow {
        id: workflow.clone(),
        project: local_stack::PROJECT.to_owned(),
        versions: vec!["1".to_owned()],
    });
    let arguments = json!({
        "p_org_id": user.org_id, "p_agent_id": id, "p_display_name": name, "p_description": description,
        "p_chatkit_workflow_id": workflow, "p_chatkit_workflow_version": "1",
    });
    let (status, answer) = stack.rpc("register_agent", arguments).await?;
    ensure!(status.is_success(), "register_agent answered {status}: {answer}");
    Ok(())
}
