//! A page of a user: it sends messages, repeats requests that fail, stops, reloads and goes on.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use http_client::Method;
use local_stack::chat_client::{ChatClient, ThreadView, message};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ledger::{Ledger, count};
use super::request::{ChatRequest, OpenThread, Outcome, RETRY, compared, read, view_of};
use crate::stress::env::{Person, StressEnv};
use crate::stress::log::Entry;
use crate::stress::requests::Request;

pub const CHAT_AGENT: &str = "chat";

/// More attempts are never necessary.
const MAX_TRIES: u32 = 40;

/// A client secret lives ten minutes. It changes only between two questions: without a key, a
/// repeat with another secret is another request.
const SECRET_AGE: Duration = Duration::from_secs(240);

/// A page with a session.
pub struct Page<'a> {
    env: &'a StressEnv,
    ledger: &'a Ledger,
    person: usize,
    session: Value,
    pub chat: ChatClient,
    renewed_at: Instant,
    threads: Vec<OpenThread>,
}

impl<'a> Page<'a> {
    /// Opens a session of a user.
    pub async fn open(env: &'a StressEnv, ledger: &'a Ledger, person: usize) -> Result<Self> {
        let request = Request {
            method: Method::POST,
            path: "/chatkit/sessions".to_owned(),
            key: Some(Uuid::new_v4().to_string()),
            body: Some(json!({ "agentId": CHAT_AGENT })),
        };
        let session = env.send_with_retries(env.person(person), &request, 9).await.response;
        ensure!(session.is_success(), "the session was not opened: {session:?}");
        let secret = session.secret().context("the session has no secret")?;
        let chat = ChatClient::new(&env.stack.function_url("serve-chatkit"), secret);
        let (session, renewed_at) = (session.body, Instant::now());
        Ok(Self { env, ledger, person, session, chat, renewed_at, threads: Vec::new() })
    }

    /// Sends one question, or asks for another answer to one, and follows it to its end.
    pub async fn turn(&mut self, number: usize) -> Result<()> {
        count(&self.ledger.counts.turns);
        let mut rng = self.env.rng(number);
        self.renew_secret().await?;
        let mut request = self.choose(number, &mut rng);
        if let Some(thread) = &mut request.thread
            && rng.u8(..8) == 0
        {
            self.reload(thread).await?;
        }
        let stopping = async {
            let (stops, moment) = (rng.u8(..12) == 0, rng.u64(..900));
            if stops {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                self.stop().await;
            }
        };
        let mut choices = self.env.rng(number.wrapping_add(0x5bd1_e995));
        let (sent, ()) = tokio::join!(self.ask(number, &mut request, &mut choices), stopping);
        if let Some(thread) = sent? {
            if thread.is_shared && request.thread.is_none() {
                self.ledger.share_thread(self.person, &thread.id);
            }
            self.threads.retain(|other| other.id != thread.id);
            self.threads.push(thread);
        }
        Ok(())
    }

    fn choose(&self, number: usize, rng: &mut Rng) -> ChatRequest {
        let key = rng.bool().then(|| Uuid::from_u128(rng.u128(..)).to_string());
        let text = format!("Question {number}: who pays invoice {}?", rng.u32(1..100_000));
        let shared = (rng.u8(..8) == 0).then(|| self.ledger.shared_thread(self.person, rng)).flatten();
        let own = if rng.u8(..4) == 0 { None } else { rng.choice(&self.threads).cloned() };
        let thread = match shared {
            Some(id) => {
                Some(self.threads.iter().find(|thread| thread.id == id).cloned().unwrap_or(OpenThread {
                    id,
                    view: ThreadView::default(),
                    is_shared: true,
                    in_sync: false,
                }))
            }
            None => own,
        };
        let Some(thread) = thread else {
            let params = json!({ "input": message(&text) });
            let is_shared = rng.u8(..6) == 0;
            return ChatRequest { kind: "threads.create", params, text, key, thread: None, is_shared };
        };
        // In a shared thread it would replace another page's questions.
        let again = thread.view.items().iter().rfind(|item| item["type"] == "user_message");
        if let Some(question) = again.filter(|_| !thread.is_shared && thread.in_sync && rng.u8(..8) == 0) {
            return ChatRequest::retry(question, thread.clone(), key);
        }
        let params = json!({ "thread_id": thread.id, "input": message(&text) });
        let (kind, is_shared) = ("threads.add_user_message", thread.is_shared);
        ChatRequest { kind, params, text, key, thread: Some(thread), is_shared }
    }

    /// Sends a request until its answer has ended well, or the user goes on. Returns the thread as
    /// the page shows it then.
    async fn ask(
        &self,
        number: usize,
        request: &mut ChatRequest,
        rng: &mut Rng,
    ) -> Result<Option<OpenThread>> {
        // Without a key, a repeat after a good end whose events got lost is a new question.
        let mut is_exact = true;
        for attempt in 1..=MAX_TRIES {
            let leaves = (rng.u8(..20) == 0).then(|| rng.usize(..6));
            let outcome = if leaves.is_none() && rng.u8(..5) == 0 {
                count(&self.ledger.counts.concurrent_repeats);
                is_exact &= request.key.is_some();
                self.send_twice(number, request, attempt).await
            } else {
                self.send(number, request, attempt, leaves).await
            };
            let wait = match &outcome {
                Outcome::Ended(_) if outcome.is_good() => {
                    return self.settle(request, &outcome, is_exact).await;
                }
                Outcome::Ended(events) => {
                    count(&self.ledger.counts.errors);
                    match rng.u8(..10) {
                        0 => return Ok(request.thread_after(events, false)),
                        1..4 if request.can_retry(events) => {
                            count(&self.ledger.counts.retries);
                            self.press_retry(request, events).await?;
                            is_exact = true;
                        }
                        _ => {}
                    }
                    Duration::ZERO
                }
                Outcome::Left(events) => return Ok(request.thread_after(events, false)),
                Outcome::Cut(events) if rng.u8(..10) == 0 => return Ok(request.thread_after(events, false)),
                Outcome::Cut(_) => Duration::from_millis(rng.u64(..100)),
                Outcome::Refused { status: None | Some(429 | 500..), wait, .. } => *wait,
                Outcome::Refused { code, wait, .. } if code == "still_running" => *wait,
                Outcome::Refused { .. } => {
                    let (kind, text) = (request.kind, &request.text);
                    self.ledger.violation(format!("{kind} {text:?}: {}", outcome.describe()));
                    return Ok(None);
                }
            };
            count(&self.ledger.counts.repeats);
            is_exact &= request.key.is_some();
            tokio::time::sleep(wait).await;
        }
        self.ledger.violation(format!("{:?} was not answered in {MAX_TRIES} attempts", request.text));
        Ok(None)
    }

    /// Sends a request once, and records it.
    async fn send(
        &self,
        number: usize,
        request: &ChatRequest,
        attempt: u32,
        leaves: Option<usize>,
    ) -> Outcome {
        let sent_at = self.env.history.now();
        let mut builder = self.chat.request(request.kind, request.params.clone());
        if let Some(key) = &request.key {
            builder = builder.header("idempotency-key", key);
        }
        if request.kind != RETRY {
            self.ledger.ask(&request.text, request.key.is_some());
        }
        let outcome = read(builder, leaves).await.unwrap_or_else(|error| {
            self.ledger.violation(format!("{:?}: {error:#}", request.text));
            Outcome::Cut(Vec::new())
        });
        self.ledger.received(outcome.events());
        let counts = &self.ledger.counts;
        let status = match &outcome {
            Outcome::Refused { status, .. } => {
                count(&counts.refused);
                *status
            }
            answered => {
                match answered {
                    Outcome::Cut(_) => count(&counts.cut),
                    Outcome::Left(_) => count(&counts.left),
                    _ => {}
                }
                self.ledger.answered(&request.text);
                Some(200)
            }
        };
        self.env.history.push(Entry {
            operation: number,
            attempt,
            request: format!("{} {}", request.kind, request.text),
            key: request.key.clone(),
            sent_at,
            received_at: self.env.history.now(),
            status,
            outcome: outcome.describe(),
        });
        outcome
    }

    /// Sends a request twice at once. With a key, both streams are the same in the end.
    async fn send_twice(&self, number: usize, request: &ChatRequest, attempt: u32) -> Outcome {
        let (first, second) = tokio::join!(
            self.send(number, request, attempt, None),
            self.send(number, request, attempt, None)
        );
        if first.is_good() && second.is_good() && request.key.is_some() {
            let view = |outcome: &Outcome| request.view_after(outcome.events());
            match (view(&first), view(&second)) {
                (Ok(first), Ok(second)) if compared(first.items()) == compared(second.items()) => {}
                (first, second) => {
                    self.ledger.violation(format!("two streams differ: {first:?} and {second:?}"));
                }
            }
        }
        if second.is_good() { second } else { first }
    }

    /// Checks an answer that ended well. Returns the thread.
    async fn settle(
        &self,
        request: &ChatRequest,
        outcome: &Outcome,
        is_exact: bool,
    ) -> Result<Option<OpenThread>> {
        let events = outcome.events();
        let Some(mut thread) = request.thread_after(events, is_exact) else {
            self.ledger.violation(format!("{:?}: the stream names no thread", request.text));
            return Ok(None);
        };
        if let Err(error) = request.view_after(events) {
            self.ledger.violation(format!("{:?}: {error:#}", request.text));
        }
        // The page may still show an open item of a stream that it has left.
        let is_ended = ThreadView::from_events(events).is_ok_and(|view| {
            let last = view.items().last().map(|item| &item["type"]);
            last.is_some_and(|kind| *kind == "assistant_message" || *kind == "task")
                && view.unfinished().is_empty()
        });
        if !is_ended {
            let events: Vec<_> = events.iter().map(Value::to_string).collect();
            self.ledger.violation(format!("{:?}: a stream without an end: {events:?}", request.text));
        }
        if !thread.in_sync || self.env.rng(events.len()).bool() {
            self.reload(&mut thread).await?;
            // The end of this answer is the end of every earlier one of the thread.
            thread.in_sync = !thread.is_shared;
        }
        Ok(Some(thread))
    }

    /// Replaces the request by a click on Retry below the question.
    async fn press_retry(&self, request: &mut ChatRequest, events: &[Value]) -> Result<()> {
        let question = events.iter().find(|event| event["item"]["type"] == "user_message");
        let question = question.context("no question")?["item"].clone();
        // The items of an answer that could not be saved may come later.
        let mut thread = request.thread_after(events, false).context("no thread")?;
        self.reload(&mut thread).await?;
        thread.in_sync = request.thread.as_ref().is_none_or(|thread| thread.in_sync);
        let key = request.key.as_ref().map(|key| format!("{key}-retry"));
        *request = ChatRequest::retry(&question, thread, key);
        Ok(())
    }

    /// Reloads a thread. If the page has seen everything, it shows the same as before.
    async fn reload(&self, thread: &mut OpenThread) -> Result<()> {
        count(&self.ledger.counts.reloads);
        let items = self.items(&thread.id).await?;
        if thread.in_sync && !thread.is_shared {
            count(&self.ledger.counts.compared);
            let is_stored = |item: &&Value| items.iter().any(|other| other["id"] == item["id"]);
            // The end of a step of reasoning is sent before it is stored.
            let is_lost = |item: &&Value| item["type"] == "workflow" && !is_stored(item);
            let seen = thread.view.items();
            let lost = seen.iter().filter(is_lost).count();
            self.ledger.counts.lost_workflows.fetch_add(lost, Ordering::Relaxed);
            let kept: Vec<Value> = seen.iter().filter(|item| !is_lost(item)).cloned().collect();
            if compared(&kept) != compared(&items) {
                let id = &thread.id;
                self.ledger.violation(format!("{id} shows {seen:?} and contains {items:?}"));
            }
        }
        thread.view = view_of(&items)?;
        Ok(())
    }

    /// Lists the items of a thread, also if requests fail.
    pub async fn items(&self, thread_id: &str) -> Result<Vec<Value>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.chat.items(thread_id).await {
                Err(_) if tries < MAX_TRIES => tokio::time::sleep(Duration::from_millis(100)).await,
                items => return items,
            }
        }
    }

    /// Lists the ids of a thread's items, page by page.
    pub async fn item_ids(&self, thread_id: &str, limit: usize, order: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut params = json!({ "thread_id": thread_id, "limit": limit, "order": order });
        loop {
            let page = self.chat.json("items.list", params.clone()).await?;
            let items = page["data"].as_array().context("a page without data")?;
            ids.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
            if page["has_more"] != true {
                return Ok(ids);
            }
            ensure!(items.len() == limit, "a page of {} items has a next one", items.len());
            params["after"] = page["after"].clone();
        }
    }

    /// Sends a question, and returns the messages of its answer.
    pub async fn last_messages(&self, thread_id: &str, text: &str) -> Result<Vec<String>> {
        let events = self.chat.add_message(thread_id, text).await?.finish().await?;
        let view = ThreadView::from_events(&events)?;
        let messages = view.items().iter().filter(|item| item["type"] == "assistant_message");
        let text = |item: &Value| item["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        Ok(messages.map(text).collect())
    }

    pub fn session(&self) -> &Value {
        &self.session
    }

    pub fn user_id(&self) -> String {
        self.env.person(self.person).user.id.to_string()
    }

    async fn stop(&self) {
        count(&self.ledger.counts.stops);
        let path = format!("{}/stop", Person::path(&self.session));
        let request = Request { method: Method::POST, path, key: None, body: None };
        let stopped = self.env.send_with_retries(self.env.person(self.person), &request, 9).await.response;
        if stopped.status != Some(200) {
            self.ledger.violation(format!("the stop failed: {stopped:?}"));
        }
    }

    /// Renews the client secret before it expires.
    pub async fn renew_secret(&mut self) -> Result<()> {
        if self.renewed_at.elapsed() < SECRET_AGE {
            return Ok(());
        }
        // With a key, a repeat returns the secret of the first attempt.
        let request = Request::renew(&self.session, "refresh", Some(Uuid::new_v4().to_string()));
        let renewed = self.env.send_with_retries(self.env.person(self.person), &request, 9).await.response;
        let secret = renewed.secret().with_context(|| format!("no new secret: {renewed:?}"))?;
        (self.chat, self.renewed_at) = (self.chat.with_secret(secret), Instant::now());
        Ok(())
    }
}
