//! Secrets that functions fetch at run time, from moto: start, rotation under load, and an outage.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use local_stack::chat_client::{ChatClient, ThreadView};
use local_stack::lambda::{self, Profile};
use local_stack::model::{MODEL, Script};
use local_stack::moto::Moto;
use local_stack::openai::ApiKey;
use local_stack::{LocalStack, PROJECT, http, sealing_key};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::skip;

const FUNCTIONS: [&str; 5] =
    ["create-session", "receive-webhook", "record-events", "route-events", "serve-chatkit"];

/// The self-hosted agent.
const CHAT_AGENT: &str = "chat";

/// Requests in total. Each secret is rotated in the middle of its share.
const REQUESTS: usize = 1000;
const CONCURRENCY: usize = 8;

/// How long the deliveries of the recorded events may take.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Rotated {
    Webhook,
    JwtSecret,
    SealingKeys,
    OpenAi,
    Model,
    /// The secret of one agent's bearer.
    AgentBearer,
    /// The secret with all agents' credentials.
    AgentCredentials,
    SupabaseKey,
}

/// Supabase's key is the last one, because the stack's own calls of RPCs use the first key.
const ROTATIONS: [Rotated; 8] = [
    Rotated::Webhook,
    Rotated::JwtSecret,
    Rotated::SealingKeys,
    Rotated::OpenAi,
    Rotated::Model,
    Rotated::AgentBearer,
    Rotated::AgentCredentials,
    Rotated::SupabaseKey,
];

/// A user whose requests need every secret.
struct Load<'a> {
    stack: &'a LocalStack,
    user: TestClient,
    session: Value,
    chat: ChatClient,
    /// The values of the secrets that callers send, current and previous.
    webhook_secrets: Mutex<[String; 2]>,
    jwt_secrets: Mutex<[String; 2]>,
    /// Every value that was stored.
    values: Mutex<Vec<String>>,
    begun: AtomicUsize,
}

#[tokio::test]
async fn rotation_of_each_secret_under_load_refuses_no_request() -> Result<()> {
    skip::with_tools(async {
        let moto = Moto::start().await?;
        let stack = start_stack(&moto).await?;
        let load = Load::begin(&stack, &moto).await;
        let load = load.with_context(|| format!("before the load: {:#?}", error_lines(&stack)))?;
        for (index, rotated) in ROTATIONS.into_iter().enumerate() {
            let until = REQUESTS * (index + 1) / ROTATIONS.len();
            let middle = REQUESTS * (2 * index + 1) / (2 * ROTATIONS.len());
            let outcome =
                try_join!(load.send_until(until, CONCURRENCY), load.rotate_at(middle, rotated, &moto));
            outcome.with_context(|| format!("while {rotated:?} is rotated: {:#?}", error_lines(&stack)))?;
        }
        load.expect_deliveries().await?;
        // A process that has sent nothing since the rotation of the last key would have to fetch it,
        // and a new process the values that callers should no longer send.
        stack.lambda().kill();
        forget_previous(&load.webhook_secrets);
        forget_previous(&load.jwt_secrets);
        load.send_until(REQUESTS + 40, CONCURRENCY).await.context("in new processes")?;
        // Running functions keep the last values. One request at a time starts no other process, if
        // the database sends none.
        stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
        moto.stop().await?;
        load.send_until(REQUESTS + 80, 1).await.context("while Secrets Manager is unreachable")?;
        stack.lambda().kill();
        let refused = load.user.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
        ensure!(refused.status == 500, "a function started without its secrets: {refused:?}");
        let logs = stack.final_logs().await;
        let reason = "SUPABASE_SECRET_KEY cannot be fetched from AWS Secrets Manager (cannot be reached)";
        ensure!(logs.iter().any(|line| line.contains(reason)), "no log line contains {reason:?}");
        let values = load.values.lock().unwrap();
        let leak = logs.iter().find(|line| values.iter().any(|value| line.contains(value.as_str())));
        ensure!(leak.is_none(), "a log line contains a secret: {leak:?}");
        Ok(())
    })
    .await
}

/// Starts functions whose environment has references only.
async fn start_stack(moto: &Moto) -> Result<LocalStack> {
    let binaries = lambda::functions_with_runtime_secrets(&FUNCTIONS, Profile::Dev).await?;
    let references = [
        ("SUPABASE_SECRET_KEY", "secretsmanager:chatkit/supabase#secret_key"),
        ("SUPABASE_JWT_SECRET", "secretsmanager:chatkit/jwt"),
        ("OPENAI_CHATKIT_SECRET", "secretsmanager:chatkit/openai"),
        ("CHATKIT_SEALING_KEYS", "secretsmanager:chatkit/sealing"),
        ("DATABASE_WEBHOOK_SECRET", "secretsmanager:chatkit/webhook"),
        ("MODEL_API_KEY", "ssm:/chatkit/model"),
        ("AGENT_CREDENTIALS", "secretsmanager:chatkit/agents"),
    ];
    let mut builder = LocalStack::builder().binaries(binaries);
    for (name, value) in references {
        builder = builder.env(name, value);
    }
    // The functions keep the credentials of their roles, which moto does not check.
    let is_credential = |name: &str| name.starts_with("AWS_ACCESS_KEY") || name.starts_with("AWS_SECRET");
    for (name, value) in moto.environment().into_iter().filter(|(name, _)| !is_credential(name)) {
        builder = builder.env(name, &value);
    }
    builder.start().await
}

impl<'a> Load<'a> {
    /// Stores the first values, and opens a session with each kind of agent.
    async fn begin(stack: &'a LocalStack, moto: &Moto) -> Result<Self> {
        let webhook_secret: String = sqlx::query_scalar(
            "select s.decrypted_secret from vault.decrypted_secrets as s
             join chatkit_private.webhook as w on w.secret_name = s.name",
        )
        .fetch_one(stack.database())
        .await
        .context("reading the secret of the stack's webhook")?;
        let jwt_secret = secret("jwt");
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        let tool = json!({ "idempotent": true, "policy": "auto", "risk": "low", "approver": "self" });
        stack.register_agent_tool(org_id, AGENT, tool).await?;
        stack.register_self_hosted_agent(org_id, CHAT_AGENT, json!({ "p_model": MODEL })).await?;
        stack.raise_limits(org_id).await?;
        stack.model().set_default_answer(|_| Script::new().text("Paid."));
        let user = TestClient::in_organisation(stack, org_id, local_stack::supabase::OrgRole::Member).await?;
        let mut load = Self {
            stack,
            user,
            session: Value::Null,
            chat: ChatClient::new("", ""),
            webhook_secrets: Mutex::new([webhook_secret.clone(), webhook_secret.clone()]),
            jwt_secrets: Mutex::new([jwt_secret.clone(), jwt_secret.clone()]),
            values: Mutex::default(),
            begun: AtomicUsize::new(0),
        };
        let supabase = json!({ "secret_key": stack.supabase().secret_key() }).to_string();
        load.put(moto, "chatkit/supabase", &supabase, stack.supabase().secret_key()).await?;
        load.put(moto, "chatkit/jwt", &jwt_secret, &jwt_secret).await?;
        load.put(moto, "chatkit/webhook", &webhook_secret, &webhook_secret).await?;
        for rotated in [Rotated::OpenAi, Rotated::SealingKeys, Rotated::Model, Rotated::AgentBearer] {
            load.rotate(rotated, moto).await?;
        }
        let credentials = load.credentials("ssm:/chatkit/agent")?;
        moto.put_secret("chatkit/agents", &credentials).await?;
        load.session = load.user.open_session().await?;
        let chat =
            load.user.post("/chatkit/sessions", json!({ "agentId": CHAT_AGENT })).await?.expect(201)?;
        let client_secret = chat["chatkit"]["clientSecret"].as_str().context("no client secret")?;
        load.chat = ChatClient::new(&stack.function_url("serve-chatkit"), client_secret);
        Ok(load)
    }

    /// Sends requests, several at a time, until this number has begun. Each must succeed.
    async fn send_until(&self, until: usize, concurrency: usize) -> Result<()> {
        let numbers = self.begun.load(Ordering::SeqCst)..until;
        let requests = stream::iter(numbers).map(|number| async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.send(number).await.with_context(|| format!("request {number}"))
        });
        requests.buffer_unordered(concurrency).try_collect().await
    }

    /// Sends one request of each kind in turn. Every second caller still has the previous value.
    async fn send(&self, number: usize) -> Result<()> {
        let previous = number / 5 % 2;
        match number % 5 {
            0 => {
                let secret = self.jwt_secrets.lock().unwrap()[previous].clone();
                let token = self.stack.issuer().token_builder(&self.user.user).signed_with_secret(&secret);
                self.user.with_token(token.sign()).open_session().await.map(drop)
            }
            1 => {
                let body = json!({ "sessionId": self.session["id"], "purpose": "refresh" });
                self.user.post("/chatkit/sessions", body).await?.expect(200).map(drop)
            }
            2 => {
                let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": 900 } });
                let path = session_path(&self.session);
                self.user.record_event(&path, "button_click", payload).await?.expect(201).map(drop)
            }
            3 => {
                let secret = self.webhook_secrets.lock().unwrap()[previous].clone();
                let url = self.stack.function_url("receive-webhook");
                let status = loop {
                    let request = http::client().post(&url).header("x-webhook-secret", &secret);
                    let status = request.send().await?.status();
                    // Lambda's answer above the reserved concurrency.
                    if status != 429 {
                        break status;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                };
                ensure!(status == 202, "the webhook was answered with {status}");
                Ok(())
            }
            _ => {
                let events = self.chat.create_thread("Is invoice 42 paid?").await?.finish().await?;
                let view = ThreadView::from_events(&events)?;
                ensure!(view.errors.is_empty() && view.answer() == "Paid.", "{events:#?}");
                Ok(())
            }
        }
    }

    /// Rotates a secret as soon as this number of requests has begun.
    async fn rotate_at(&self, number: usize, rotated: Rotated, moto: &Moto) -> Result<()> {
        while self.begun.load(Ordering::SeqCst) < number {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.rotate(rotated, moto).await
    }

    /// Stores a new value, and then lets the other system accept only that value.
    async fn rotate(&self, rotated: Rotated, moto: &Moto) -> Result<()> {
        let value = secret(&format!("{rotated:?}"));
        match rotated {
            Rotated::Webhook => {
                self.put(moto, "chatkit/webhook", &value, &value).await?;
                shift(&self.webhook_secrets, value);
            }
            Rotated::JwtSecret => {
                self.put(moto, "chatkit/jwt", &value, &value).await?;
                shift(&self.jwt_secrets, value);
            }
            Rotated::SealingKeys => {
                let keys = sealing_key(&format!("k{}", fastrand::u32(..)))?;
                self.put(moto, "chatkit/sealing", &keys, &keys).await?;
            }
            Rotated::OpenAi => {
                self.put(moto, "chatkit/openai", &value, &value).await?;
                self.stack
                    .openai()
                    .replace_api_keys(ApiKey { key: value, project: Some(PROJECT.to_owned()) });
            }
            Rotated::Model => {
                self.remember(&value);
                moto.put_parameter("/chatkit/model", &value).await?;
                self.stack.model().replace_api_key(&value);
            }
            Rotated::AgentBearer => {
                self.remember(&value);
                moto.put_parameter("/chatkit/agent", &value).await?;
                self.require_bearer(&value)?;
            }
            Rotated::AgentCredentials => {
                self.put(moto, "chatkit/agents", &self.credentials(&value)?, &value).await?;
                self.require_bearer(&value)?;
            }
            Rotated::SupabaseKey => {
                let value = format!("sb_secret_{}", value.replace('-', "_"));
                let json = json!({ "secret_key": value }).to_string();
                self.put(moto, "chatkit/supabase", &json, &value).await?;
                self.stack.supabase().replace_secret_key(&value);
            }
        }
        Ok(())
    }

    async fn put(&self, moto: &Moto, name: &str, text: &str, value: &str) -> Result<()> {
        self.remember(value);
        moto.put_secret(name, text).await
    }

    fn remember(&self, value: &str) {
        self.values.lock().unwrap().push(value.to_owned());
    }

    fn require_bearer(&self, bearer: &str) -> Result<()> {
        self.stack.agents().agent(AGENT).context("the stack has no such agent")?.require_bearer(bearer);
        Ok(())
    }

    /// The credentials of the agent, with this bearer.
    fn credentials(&self, bearer: &str) -> Result<String> {
        let agent = self.stack.agents().agent(AGENT).context("the stack has no such agent")?;
        let origin = format!("http://{}", agent.address());
        Ok(json!({ AGENT: { "origin": origin, "bearer": bearer } }).to_string())
    }

    /// Waits until every recorded event was delivered. A refused call would be a dead delivery.
    async fn expect_deliveries(&self) -> Result<()> {
        let open = "select count(*) from deliveries where status <> 'done'";
        let wait = async {
            while sqlx::query_scalar::<_, i64>(open).fetch_one(self.stack.database()).await? > 0 {
                self.stack.run_job("route-events").await?;
            }
            anyhow::Ok(())
        };
        if tokio::time::timeout(TIMEOUT, wait).await.is_err() {
            let query = "select status, error, count(*) from deliveries group by 1, 2";
            let states: Vec<(String, Option<String>, i64)> =
                sqlx::query_as(query).fetch_all(self.stack.database()).await?;
            anyhow::bail!("not every event was delivered: {states:?}");
        }
        let agent = self.stack.agents().agent(AGENT).context("the stack has no such agent")?;
        let calls = agent.actions().len();
        ensure!(calls > REQUESTS / 6, "only {calls} calls reached the agent");
        Ok(())
    }
}

/// Returns the log lines of the functions about errors.
fn error_lines(stack: &LocalStack) -> Vec<String> {
    stack.logs().into_iter().filter(|line| line.contains("ERROR")).take(5).collect()
}

fn secret(name: &str) -> String {
    format!("c4n4ry-{name}-{}", Uuid::new_v4().simple())
}

/// Makes the current value the previous one.
fn shift(values: &Mutex<[String; 2]>, value: String) {
    let mut values = values.lock().unwrap();
    let replaced = std::mem::replace(&mut values[0], value);
    values[1] = replaced;
}

/// Lets every caller send the current value.
fn forget_previous(values: &Mutex<[String; 2]>) {
    let mut values = values.lock().unwrap();
    values[1] = values[0].clone();
}
