//! The stack in which it is tried, with people who ask, and who ask again.

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

use super::log::{Entry, History};
use super::requests::{TestResponse, Wish};
use local_stack::LocalStack;
use local_stack::http;
use local_stack::http::{Breakpoint, RandomFault};
use local_stack::openai;
use local_stack::openai::On;
use local_stack::supabase;
use local_stack::supabase::{FailureSet, OrgRole, User};

/// The agents that everybody may open.
pub const AGENT: &str = "accounts_payable";
pub const OTHER_AGENT: &str = "tax_compliance";

/// How many people ask.
const PEOPLE: usize = 12;

/// Requests at once: as many as there are processes of a function. More would only wait, and in the end be late.
pub const AT_ONCE: usize = 16;

/// Some answers ask for two minutes, as an operator has to act. What goes wrong here is over at once.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// One trial works at a time: side by side they would be late for no other reason than each other.
static TURN: Semaphore = Semaphore::const_new(1);

/// A stack, the people in it, and what they were told.
pub struct Ground {
    pub stack: LocalStack,
    pub history: History,
    /// A step before and after the work of each request upstream.
    pub breakpoint: Breakpoint,
    pub seed: u64,
    people: Vec<Person>,
    operations: AtomicUsize,
    /// What makes calls upstream go wrong.
    chances: Mutex<Vec<RandomFault>>,
    turn: Mutex<Option<SemaphorePermit<'static>>>,
}

/// Somebody who is signed in.
pub struct Person {
    pub user: User,
    token: String,
}

/// What came of asking until there was an answer.
pub struct Insisted {
    /// The last answer.
    pub reply: TestResponse,
    /// How often it was asked.
    pub tries: u32,
}

impl Ground {
    /// A fresh one. Limits are as high as they can be: here somebody does the work of hundreds.
    pub async fn start(seed: u64) -> Result<Self> {
        let turn = Mutex::new(Some(TURN.acquire().await?));
        // What is logged is kept, and it is a lot.
        let stack = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "ERROR").start().await?;
        let breakpoint = Breakpoint::default();
        stack.supabase().step_on(&breakpoint);
        stack.openai().step_on(&breakpoint);
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        stack.register_agent(org_id, OTHER_AGENT, "Tax").await?;
        stack.raise_limits(org_id).await?;
        let mut people = Vec::new();
        for _ in 0..PEOPLE {
            let user = stack.add_user(org_id, OrgRole::Member).await?;
            people.push(Person { token: stack.issuer().token(&user), user });
        }
        let (history, operations) = (History::default(), AtomicUsize::new(0));
        Ok(Self { stack, history, breakpoint, seed, people, operations, chances: Mutex::default(), turn })
    }

    /// Luck for one operation of the run.
    pub fn rng(&self, number: usize) -> Rng {
        Rng::with_seed(self.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Somebody new in the organisation, of whom nobody asks anything else.
    pub async fn joining(&self, role: OrgRole) -> Result<Person> {
        let user = self.stack.add_user(self.people[0].user.org_id, role).await?;
        Ok(Person { token: self.stack.issuer().token(&user), user })
    }

    /// Whose turn it is.
    pub fn person(&self, number: usize) -> &Person {
        &self.people[number % self.people.len()]
    }

    /// From now on that share of the calls upstream goes wrong, in all ways there are.
    pub async fn trouble(&self, share: f64, failures: FailureSet) {
        let mut chances = vec![self.trouble_at_supabase(share, failures).await];
        let ways = every_way();
        // One after the other is asked, so each has to take a larger part of what is left.
        let count = ways.len();
        for (place, fault) in ways.into_iter().enumerate() {
            let part = share / count as f64 / (1.0 - share * place as f64 / count as f64);
            let chance = RandomFault::new(part, self.seed ^ (1 + place as u64));
            self.stack.openai().fault(fault.chance(chance.clone()));
            chances.push(chance);
        }
        *self.chances.lock().unwrap_or_else(PoisonError::into_inner) = chances;
    }

    /// From now on that share of the calls of Supabase goes wrong, and of no others.
    pub async fn trouble_at_supabase(&self, share: f64, failures: FailureSet) -> RandomFault {
        let chance = RandomFault::new(share, self.seed);
        self.stack.supabase().fault(supabase::Fault::Unreliable(chance.clone(), failures)).await;
        chance
    }

    /// How many calls upstream went wrong.
    pub fn gone_wrong(&self) -> usize {
        let chances = self.chances.lock().unwrap_or_else(PoisonError::into_inner);
        chances.iter().map(RandomFault::occurrences).sum()
    }

    /// From now on everything goes well.
    pub async fn calm(&self) {
        self.stack.supabase().fault(supabase::Fault::None).await;
        self.stack.openai().clear_faults();
    }

    /// A number for an operation that is about to be tried.
    pub fn operation(&self) -> usize {
        self.operations.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks once.
    pub async fn ask(&self, person: &Person, wish: &Wish) -> TestResponse {
        self.try_once(person, wish, self.operation(), 1).await
    }

    /// Asks until there is an answer: a request that took too long on a busy machine is sent again.
    pub async fn answered(&self, person: &Person, wish: &Wish) -> TestResponse {
        let (operation, mut tries) = (self.operation(), 0);
        loop {
            tries += 1;
            let reply = self.try_once(person, wish, operation, tries).await;
            if tries == 5 || !matches!(reply.status, None | Some(500..)) {
                return reply;
            }
        }
    }

    /// Asks until it is answered to the point, as a good client does: the same request after what it was told to wait.
    pub async fn insist(&self, person: &Person, wish: &Wish, most: u32) -> Insisted {
        let (operation, mut tries) = (self.operation(), 0);
        loop {
            tries += 1;
            let reply = self.try_once(person, wish, operation, tries).await;
            let Some(wait) = reply.again().filter(|_| tries < most) else {
                return Insisted { reply, tries };
            };
            tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
        }
    }

    async fn try_once(&self, person: &Person, wish: &Wish, operation: usize, attempt: u32) -> TestResponse {
        let sent = self.history.now();
        let url = format!("{}{}", self.stack.api_url(), wish.path);
        let mut request = http::client().request(wish.method.clone(), url).bearer_auth(&person.token);
        if let Some(key) = &wish.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &wish.body {
            request = request.json(body);
        }
        let reply = TestResponse::of(request).await;
        self.history.note(Entry {
            operation,
            attempt,
            request: format!("{} {}", wish.method, wish.path),
            key: wish.key.clone(),
            sent,
            told: self.history.now(),
            status: reply.status,
            says: reply.says(),
        });
        reply
    }

    /// Opens a session that must open.
    pub async fn opened(&self, person: &Person) -> Result<Value> {
        let reply = self.insist(person, &Wish::open(Some(Uuid::new_v4().to_string())), 9).await.reply;
        ensure!(reply.is_done(), "a session did not open: {reply:?}");
        Ok(reply.body)
    }

    /// One run of the scheduler, which must go well.
    pub async fn run_job(&self) -> Result<Value> {
        self.stack.run_job("expire-sessions").await
    }

    /// Waits until nothing that was under way can be taken for alive any more: a claim's lease is half a minute, and a request
    /// without a claim is given a whole one.
    pub async fn leases_ran_out(&self) -> Result<()> {
        let turn = || self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else's turn meanwhile.
        drop(turn().take());
        tokio::time::sleep(Duration::from_secs(62)).await;
        let again = TURN.acquire().await?;
        *turn() = Some(again);
        Ok(())
    }
}

/// Does this for every number, many at once, and in the end has all that came of it.
pub async fn each<T, F: Future<Output = T>>(
    count: usize,
    at_once: usize,
    job: impl Fn(usize) -> F,
) -> Vec<T> {
    stream::iter((0..count).map(job)).buffer_unordered(at_once).collect().await
}

/// All ways in which a call of OpenAI can go wrong.
fn every_way() -> Vec<openai::Fault> {
    let on = openai::Fault::everywhere;
    vec![
        on().status(500),
        on().status(503),
        on().status(429).retry_after_ms("40"),
        on().status(503).should_retry(false),
        on().reset_before(),
        on().reset_after(),
        on().cut_body(),
        on().nonsense(),
        on().late(Duration::from_millis(300)),
        on().delay(Duration::from_millis(300)),
        // Longer than anybody waits. Seldom, as it takes a process with it for so long.
        openai::Fault::new(On::CreateSession).late(Duration::from_secs(8)).times(20),
    ]
}

impl Person {
    /// Where a session of theirs is.
    pub fn path(session: &Value) -> String {
        format!("/chatkit/sessions/{}", session["id"].as_str().unwrap_or_default())
    }
}

impl Wish {
    /// Opens a session, under a key or none.
    pub fn open(key: Option<String>) -> Self {
        Self::post("/chatkit/sessions".to_owned(), key, Some(json!({ "agentId": AGENT })))
    }

    /// A secret for a session that is open.
    pub fn renew(session: &Value, purpose: &str, key: Option<String>) -> Self {
        let body = json!({ "sessionId": session["id"], "purpose": purpose });
        Self::post("/chatkit/sessions".to_owned(), key, Some(body))
    }

    /// Ends a session.
    pub fn cancel(session: &Value) -> Self {
        Self::post(format!("{}/cancel", Person::path(session)), None, None)
    }

    /// Records events.
    pub fn record(session: &Value, events: Value) -> Self {
        Self::post(format!("{}/events", Person::path(session)), None, Some(events))
    }

    /// Decides an escalation, as it is shown.
    pub fn decide(escalation: &Value, decision: &str) -> Self {
        let path = format!("/chatkit/escalations/{}/decision", escalation["id"].as_str().unwrap_or_default());
        let body = json!({ "decision": decision, "subjectHash": escalation["subjectHash"] });
        Self::post(path, None, Some(body))
    }

    /// Reads something.
    pub fn read(path: String) -> Self {
        Self { method: Method::GET, path, key: None, body: None }
    }

    fn post(path: String, key: Option<String>, body: Option<Value>) -> Self {
        Self { method: Method::POST, path, key, body }
    }
}
