//! The environment of a stress test: a stack, users, and clients that retry.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use http_client::Method;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::log::{Entry, RequestLog};
use super::requests::{Request, TestResponse};
use local_stack::LocalStack;
use local_stack::http;
use local_stack::http::{Breakpoint, RandomFault};
use local_stack::openai;
use local_stack::openai::Operation;
use local_stack::supabase;
use local_stack::supabase::{FailureSet, OrgRole, User};

/// The agents of the organisation.
pub const AGENT: &str = "accounts_payable";
pub const OTHER_AGENT: &str = "tax_compliance";

const PERSON_COUNT: usize = 12;

/// Number of concurrent requests: as many as a function has processes. More would only wait.
pub const CONCURRENCY: usize = 16;

/// Upper limit of Retry-After. Some responses ask for two minutes, but injected faults pass at
/// once.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(2);

/// One stress test runs at a time, so that they do not slow each other down.
static RUN_LOCK: Semaphore = Semaphore::const_new(1);

/// The stack, its users and the log of all requests.
pub struct StressEnv {
    pub stack: LocalStack,
    pub history: RequestLog,
    /// Has a step before and after the work of each upstream request.
    pub breakpoint: Breakpoint,
    pub seed: u64,
    people: Vec<Person>,
    operations: AtomicUsize,
    random_faults: Mutex<Vec<RandomFault>>,
    run_lock: Mutex<Option<SemaphorePermit<'static>>>,
}

pub struct Person {
    pub user: User,
    token: String,
}

/// The result of a request with retries.
pub struct RetryResult {
    pub response: TestResponse,
    pub tries: u32,
}

impl StressEnv {
    /// Starts a new stack. Rate limits are very high, because each user sends hundreds of requests.
    pub async fn start(seed: u64) -> Result<Self> {
        let run_lock = Mutex::new(Some(RUN_LOCK.acquire().await?));
        // The stack keeps all log lines in memory.
        let stack = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "ERROR").start().await?;
        let breakpoint = Breakpoint::default();
        stack.supabase().set_breakpoint(&breakpoint);
        stack.openai().set_breakpoint(&breakpoint);
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        stack.register_agent(org_id, OTHER_AGENT, "Tax").await?;
        stack.raise_limits(org_id).await?;
        let mut people = Vec::new();
        for _ in 0..PERSON_COUNT {
            let user = stack.add_user(org_id, OrgRole::Member).await?;
            people.push(Person { token: stack.issuer().token(&user), user });
        }
        let (history, operations) = (RequestLog::default(), AtomicUsize::new(0));
        Ok(Self {
            stack,
            history,
            breakpoint,
            seed,
            people,
            operations,
            random_faults: Mutex::default(),
            run_lock,
        })
    }

    /// Returns a random generator for one operation of the run.
    pub fn rng(&self, number: usize) -> Rng {
        Rng::with_seed(self.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Adds a user to the organisation who does not send other requests.
    pub async fn add_person(&self, role: OrgRole) -> Result<Person> {
        self.add_person_in(self.people[0].user.org_id, role).await
    }

    /// Adds a user to any organisation.
    pub async fn add_person_in(&self, org_id: Uuid, role: OrgRole) -> Result<Person> {
        let user = self.stack.add_user(org_id, role).await?;
        Ok(Person { token: self.stack.issuer().token(&user), user })
    }

    /// Returns the user of an operation.
    pub fn person(&self, number: usize) -> &Person {
        &self.people[number % self.people.len()]
    }

    /// Makes a share of all upstream requests fail, in all ways.
    pub async fn inject_faults(&self, share: f64, failures: FailureSet) {
        let mut random_faults = vec![self.inject_supabase_faults(share, failures).await];
        let ways = all_faults();
        // The faults are tried in order, so each one needs a larger share of the remaining
        // requests.
        let count = ways.len();
        for (place, fault) in ways.into_iter().enumerate() {
            let part = share / count as f64 / (1.0 - share * place as f64 / count as f64);
            let chance = RandomFault::new(part, self.seed ^ (1 + place as u64));
            self.stack.openai().add_fault(fault.random(chance.clone()));
            random_faults.push(chance);
        }
        *self.random_faults.lock().unwrap_or_else(PoisonError::into_inner) = random_faults;
    }

    /// Makes a share of the Supabase requests fail.
    pub async fn inject_supabase_faults(&self, share: f64, failures: FailureSet) -> RandomFault {
        let chance = RandomFault::new(share, self.seed);
        self.stack.supabase().set_fault(supabase::Fault::Unreliable(chance.clone(), failures)).await;
        chance
    }

    /// Number of failed upstream requests.
    pub fn injected_fault_count(&self) -> usize {
        let random_faults = self.random_faults.lock().unwrap_or_else(PoisonError::into_inner);
        random_faults.iter().map(RandomFault::occurrences).sum()
    }

    pub async fn clear_faults(&self) {
        self.stack.supabase().set_fault(supabase::Fault::None).await;
        self.stack.openai().clear_faults();
    }

    /// Returns the number of a new operation.
    pub fn operation(&self) -> usize {
        self.operations.fetch_add(1, Ordering::Relaxed)
    }

    pub async fn send(&self, person: &Person, request: &Request) -> TestResponse {
        self.try_once(person, request, self.operation(), 1).await
    }

    /// Sends a request until there is a response. A request that takes too long on a busy machine
    /// is repeated.
    pub async fn send_until_response(&self, person: &Person, request: &Request) -> TestResponse {
        let (operation, mut tries) = (self.operation(), 0);
        loop {
            tries += 1;
            let response = self.try_once(person, request, operation, tries).await;
            if tries == 5 || !matches!(response.status, None | Some(500..)) {
                return response;
            }
        }
    }

    /// Sends a request until it succeeds or fails permanently, as a good client does: the same
    /// request after `Retry-After`.
    pub async fn send_with_retries(&self, person: &Person, request: &Request, most: u32) -> RetryResult {
        let (operation, mut tries) = (self.operation(), 0);
        loop {
            tries += 1;
            let response = self.try_once(person, request, operation, tries).await;
            let Some(wait) = response.retry_delay().filter(|_| tries < most) else {
                return RetryResult { response, tries };
            };
            tokio::time::sleep(wait.min(MAX_RETRY_WAIT)).await;
        }
    }

    async fn try_once(
        &self,
        person: &Person,
        request: &Request,
        operation: usize,
        attempt: u32,
    ) -> TestResponse {
        let sent_at = self.history.now();
        let url = format!("{}{}", self.stack.api_url(), request.path);
        let mut builder = http::client().request(request.method.clone(), url).bearer_auth(&person.token);
        if let Some(key) = &request.key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = TestResponse::from_request(builder).await;
        self.history.push(Entry {
            operation,
            attempt,
            request: format!("{} {}", request.method, request.path),
            key: request.key.clone(),
            sent_at,
            received_at: self.history.now(),
            status: response.status,
            outcome: response.code_or_id(),
        });
        response
    }

    pub async fn open_session(&self, person: &Person) -> Result<Value> {
        let response = self
            .send_with_retries(person, &Request::open(Some(Uuid::new_v4().to_string())), 9)
            .await
            .response;
        ensure!(response.is_success(), "the session was not opened: {response:?}");
        Ok(response.body)
    }

    /// Runs the maintenance function, which must succeed.
    pub async fn run_job(&self) -> Result<Value> {
        self.stack.run_job("expire-sessions").await
    }

    /// Waits until all leases have expired: the lease of a claim is half a minute, and a request
    /// without a claim has a minute.
    pub async fn wait_for_leases(&self) -> Result<()> {
        let run_lock = || self.run_lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Another stress test can run in this time.
        drop(run_lock().take());
        tokio::time::sleep(Duration::from_secs(62)).await;
        let again = RUN_LOCK.acquire().await?;
        *run_lock() = Some(again);
        Ok(())
    }
}

/// Runs `job` for every number with limited concurrency, and returns all results.
pub async fn run_concurrently<T, F: Future<Output = T>>(
    count: usize,
    concurrency: usize,
    job: impl Fn(usize) -> F,
) -> Vec<T> {
    stream::iter((0..count).map(job)).buffer_unordered(concurrency).collect().await
}

/// All faults of a request to OpenAI.
fn all_faults() -> Vec<openai::Fault> {
    let on = openai::Fault::everywhere;
    vec![
        on().status(500),
        on().status(503),
        on().status(429).retry_after_ms("40"),
        on().status(503).should_retry(false),
        on().reset_before(),
        on().reset_after(),
        on().cut_body(),
        on().html_body(),
        on().delay_response(Duration::from_millis(300)),
        on().delay(Duration::from_millis(300)),
        // Longer than any client waits. Limited, because it blocks a process for as long.
        openai::Fault::new(Operation::CreateSession).delay_response(Duration::from_secs(8)).times(20),
    ]
}

impl Person {
    pub fn path(session: &Value) -> String {
        format!("/chatkit/sessions/{}", session["id"].as_str().unwrap_or_default())
    }
}

impl Request {
    /// Opens a session, with or without an idempotency key.
    pub fn open(key: Option<String>) -> Self {
        Self::post("/chatkit/sessions".to_owned(), key, Some(json!({ "agentId": AGENT })))
    }

    /// Renews the client secret of an open session.
    pub fn renew(session: &Value, purpose: &str, key: Option<String>) -> Self {
        let body = json!({ "sessionId": session["id"], "purpose": purpose });
        Self::post("/chatkit/sessions".to_owned(), key, Some(body))
    }

    pub fn cancel(session: &Value) -> Self {
        Self::post(format!("{}/cancel", Person::path(session)), None, None)
    }

    pub fn record(session: &Value, events: Value) -> Self {
        Self::post(format!("{}/events", Person::path(session)), None, Some(events))
    }

    /// Decides an escalation with its current subject hash.
    pub fn decide(escalation: &Value, decision: &str) -> Self {
        let path = format!("/chatkit/escalations/{}/decision", escalation["id"].as_str().unwrap_or_default());
        let body = json!({ "decision": decision, "subjectHash": escalation["subjectHash"] });
        Self::post(path, None, Some(body))
    }

    pub fn read(path: String) -> Self {
        Self { method: Method::GET, path, key: None, body: None }
    }

    fn post(path: String, key: Option<String>, body: Option<Value>) -> Self {
        Self { method: Method::POST, path, key, body }
    }
}
