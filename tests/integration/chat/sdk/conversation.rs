//! One generated conversation, and the checks after each of its requests.

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use local_stack::LocalStack;
use local_stack::chat_client::ThreadView;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::exchange::Exchange;
use super::plan::{self, ExpectedPart, Plan};
use crate::chat::fixture::{ChatPage, register_agent, text};
use crate::support::client::TestClient;

/// Number of items in the answer to `threads.get_by_id`.
const FIRST_ITEMS: usize = 20;

/// A user who holds a conversation with a self-hosted agent.
pub struct Conversation<'a> {
    stack: &'a LocalStack,
    page: ChatPage,
    rng: Rng,
    /// Begins the markers of this conversation's messages, by which the model finds its script.
    name: String,
    messages: usize,
    /// Whether the model's server sends annotations.
    has_annotations: bool,
    /// The threads as the page shows them, the oldest first.
    threads: Vec<ThreadView>,
    exchanges: Vec<Exchange>,
    pub broken_answers: usize,
}

impl<'a> Conversation<'a> {
    /// Opens a session of a new user. The agent's model reasons.
    pub async fn open(stack: &'a LocalStack, name: String, seed: u64, has_annotations: bool) -> Result<Self> {
        let org_id = Uuid::new_v4();
        register_agent(stack, org_id, json!({ "p_reasoning_effort": "low" })).await?;
        let user = TestClient::in_organisation(stack, org_id, OrgRole::Member).await?;
        let page = ChatPage::of_user(stack, user).await?;
        Ok(Self {
            stack,
            page,
            rng: Rng::with_seed(seed),
            name,
            messages: 0,
            has_annotations,
            threads: Vec::new(),
            exchanges: Vec::new(),
            broken_answers: 0,
        })
    }

    /// Sends 4 to 12 requests, and those that check them. Returns every exchange.
    pub async fn hold(&mut self) -> Result<Vec<Exchange>> {
        for step in 0..self.rng.usize(4..=12) {
            self.step().await.with_context(|| format!("step {step}"))?;
        }
        self.list_threads().await?;
        Ok(std::mem::take(&mut self.exchanges))
    }

    async fn step(&mut self) -> Result<()> {
        let kind = self.rng.u8(..20);
        if self.threads.is_empty() || kind == 0 {
            return self.create_thread().await;
        }
        let at = self.rng.usize(..self.threads.len());
        match kind {
            1..=7 => self.add_message(at).await,
            8..=10 => self.retry(at).await,
            11 => self.act(at).await,
            12 => self.rename(at).await,
            13 | 14 => self.give_feedback(at).await,
            15 => self.get_thread(at).await,
            16 => self.list_threads().await,
            17 => self.delete(at).await,
            18 => self.send_refused_requests(at).await,
            _ => self.check_items(at).await,
        }
    }

    async fn send(&mut self, kind: &str, params: Value) -> Result<Exchange> {
        let exchange = Exchange::send(&self.page.chat, kind, params).await?;
        self.exchanges.push(exchange.clone());
        Ok(exchange)
    }

    fn marker(&mut self) -> String {
        self.messages += 1;
        format!("#{}-{}#", self.name, self.messages)
    }

    async fn create_thread(&mut self) -> Result<()> {
        let marker = self.marker();
        let input = plan::message(&mut self.rng, &marker);
        let events = self.ask("threads.create", json!({ "input": input }), &marker).await?;
        ensure!(events[0]["type"] == "thread.created", "{events:#?}");
        self.check_question(&events[1], &input)?;
        self.threads.push(ThreadView::from_events(&events)?);
        self.check_items(self.threads.len() - 1).await
    }

    async fn add_message(&mut self, at: usize) -> Result<()> {
        let marker = self.marker();
        let input = plan::message(&mut self.rng, &marker);
        let params = json!({ "thread_id": self.thread_id(at), "input": input });
        let events = self.ask("threads.add_user_message", params, &marker).await?;
        self.check_question(&events[0], &input)?;
        self.apply(at, &events).await
    }

    async fn retry(&mut self, at: usize) -> Result<()> {
        let items = self.threads[at].items();
        let positions: Vec<_> = (0..items.len()).filter(|at| items[*at]["type"] == "user_message").collect();
        let position = positions[self.rng.usize(..positions.len())];
        let (message, later) = (items[position].clone(), items[position + 1..].to_vec());
        let marker = marker_of(&message)?;
        let params = json!({ "thread_id": self.thread_id(at), "item_id": message["id"] });
        let events = self.ask("threads.retry_after_item", params, &marker).await?;
        let removed = events.iter().filter(|event| event["type"] == "thread.item.removed");
        let removed: Vec<_> = removed.map(|event| &event["item_id"]).collect();
        // A blank message of the new answer is removed too.
        let expected: Vec<_> = later.iter().map(|item| &item["id"]).collect();
        ensure!(removed.starts_with(&expected), "expected {expected:?} to be removed, found {removed:?}");
        self.apply(at, &events).await
    }

    /// Sends an action of the page, which the model answers.
    async fn act(&mut self, at: usize) -> Result<()> {
        let marker = self.marker();
        let payload = plan::free_json(&mut self.rng, 1);
        let action = json!({ "type": marker, "payload": payload });
        let params = json!({ "thread_id": self.thread_id(at), "action": action });
        let events = self.ask("threads.custom_action", params, &marker).await?;
        self.apply(at, &events).await
    }

    async fn rename(&mut self, at: usize) -> Result<()> {
        let title = format!("Title {}", plan::text(&mut self.rng, 4));
        let params = json!({ "thread_id": self.thread_id(at), "title": title });
        let renamed = self.send("threads.update", params).await?.json()?;
        let thread = &mut self.threads[at].thread;
        thread["title"] = title.into();
        ensure!(renamed == *thread, "expected {thread}, found {renamed}");
        Ok(())
    }

    async fn give_feedback(&mut self, at: usize) -> Result<()> {
        let ids: Vec<_> = self.threads[at].items().iter().map(|item| item["id"].clone()).collect();
        let count = self.rng.usize(1..=ids.len());
        let kind = if self.rng.bool() { "positive" } else { "negative" };
        let params = json!({ "thread_id": self.thread_id(at), "item_ids": ids[..count], "kind": kind });
        ensure!(self.send("items.feedback", params).await?.json()? == json!({}));
        Ok(())
    }

    async fn get_thread(&mut self, at: usize) -> Result<()> {
        let mut shown =
            self.send("threads.get_by_id", json!({ "thread_id": self.thread_id(at) })).await?.json()?;
        let view = &self.threads[at];
        let items = shown["items"].take();
        let first = &view.items()[..view.items().len().min(FIRST_ITEMS)];
        ensure!(items["data"] == json!(first), "expected {first:#?}, found {items:#}");
        ensure!(items["has_more"] == (view.items().len() > FIRST_ITEMS), "{items:#}");
        shown["items"] = view.thread["items"].clone();
        ensure!(shown == view.thread, "expected {:#}, found {shown:#}", view.thread);
        Ok(())
    }

    async fn list_threads(&mut self) -> Result<()> {
        let is_ascending = self.rng.bool();
        let params = json!({ "order": if is_ascending { "asc" } else { "desc" } });
        let mut threads = self.pages("threads.list", params, 3).await?;
        if !is_ascending {
            threads.reverse();
        }
        let expected: Vec<_> = self.threads.iter().map(|view| view.thread.clone()).collect();
        ensure!(threads == expected, "expected {expected:#?}, found {threads:#?}");
        Ok(())
    }

    async fn delete(&mut self, at: usize) -> Result<()> {
        let thread_id = self.thread_id(at);
        let deleted = self.send("threads.delete", json!({ "thread_id": thread_id })).await?;
        ensure!(deleted.json()? == json!({}));
        self.threads.remove(at);
        for kind in ["threads.get_by_id", "items.list"] {
            let problem = self.send(kind, json!({ "thread_id": thread_id })).await?.problem()?;
            ensure!(problem == "404 thread_not_found", "{kind}: {problem}");
        }
        Ok(())
    }

    /// Sends requests that change nothing, because they refer to something that does not exist or
    /// is not supported.
    async fn send_refused_requests(&mut self, at: usize) -> Result<()> {
        let (thread_id, unknown) = (self.thread_id(at), format!("msg_{}", Uuid::new_v4().simple()));
        let input = plan::message(&mut self.rng, "refused");
        let known = text(&self.threads[at].items()[0]["id"]);
        for (kind, params, expected) in [
            (
                "threads.add_user_message",
                json!({ "thread_id": "thr_unknown", "input": input }),
                "404 thread_not_found",
            ),
            (
                "threads.retry_after_item",
                json!({ "thread_id": thread_id, "item_id": unknown }),
                "404 item_not_found",
            ),
            (
                "items.feedback",
                json!({ "thread_id": thread_id, "item_ids": [known, unknown], "kind": "negative" }),
                "404 item_not_found",
            ),
            (
                "threads.custom_action",
                json!({ "thread_id": thread_id, "item_id": known, "action": { "type": "pay" } }),
                "422 chat_request_unsupported",
            ),
        ] {
            let problem = self.send(kind, params).await?.problem()?;
            ensure!(problem == expected, "{kind}: expected {expected}, found {problem}");
        }
        self.check_items(at).await
    }

    /// Sends a question, whose answer is planned, and checks the events of the answer.
    async fn ask(&mut self, kind: &str, params: Value, marker: &str) -> Result<Vec<Value>> {
        let plan = plan::answer(&mut self.rng);
        if let Some(script) = &plan.script {
            self.stack.model().script(script.clone().when(marker));
        }
        let fault = plan.fault.clone().map(|fault| self.stack.model().add_fault(fault.when(marker)));
        let exchange = self.send(kind, params).await?;
        if let Some(fault) = fault {
            self.stack.model().clear(fault);
        }
        let events = exchange.events().with_context(|| kind.to_owned())?;
        self.check_answer(&events, &plan).with_context(|| format!("{:?} {:#?}", plan.script, exchange))?;
        self.broken_answers += usize::from(plan.has_error || plan.has_mark);
        Ok(events)
    }

    fn check_question(&self, event: &Value, input: &Value) -> Result<()> {
        let item = &event["item"];
        ensure!(event["type"] == "thread.item.done" && item["type"] == "user_message", "{event:#}");
        for (name, value) in input.as_object().context("an input is an object")? {
            ensure!(item[name] == *value, "expected {name} to be {value}, found {item:#}");
        }
        Ok(())
    }

    fn check_answer(&self, events: &[Value], plan: &Plan) -> Result<()> {
        let is_of =
            |event: &&Value, kind: &str| event["type"] == "thread.item.done" && event["item"]["type"] == kind;
        let errors = events.iter().filter(|event| event["type"] == "error").count();
        ensure!(errors == usize::from(plan.has_error), "expected an error: {}", plan.has_error);
        let marks = events.iter().filter(|event| is_of(event, "task")).count();
        ensure!(marks == usize::from(plan.has_mark), "expected a mark: {}", plan.has_mark);
        let Some(messages) = &plan.messages else { return Ok(()) };
        let found = events.iter().filter(|event| is_of(event, "assistant_message"));
        let found = found.map(|event| parts(&event["item"])).collect::<Result<Vec<_>>>()?;
        let mut expected = messages.clone();
        if !self.has_annotations {
            expected.iter_mut().flatten().for_each(|(_, annotations)| annotations.clear());
        }
        ensure!(found == expected, "expected the messages {expected:#?}, found {found:#?}");
        let tasks = events.iter().filter(|event| is_of(event, "workflow"));
        let tasks = tasks.flat_map(|event| event["item"]["workflow"]["tasks"].as_array().cloned());
        let thoughts: Vec<_> = tasks.flatten().map(|task| text(&task["content"])).collect();
        ensure!(thoughts == plan.thoughts, "expected the thoughts {:#?}, found {thoughts:#?}", plan.thoughts);
        Ok(())
    }

    async fn apply(&mut self, at: usize, events: &[Value]) -> Result<()> {
        self.threads[at].apply_all(events)?;
        self.check_items(at).await
    }

    /// Checks that the page shows what the server lists, in pages of any size.
    async fn check_items(&mut self, at: usize) -> Result<()> {
        let is_ascending = self.rng.bool();
        let order = if is_ascending { "asc" } else { "desc" };
        let params = json!({ "thread_id": self.thread_id(at), "order": order });
        let mut listed = self.pages("items.list", params, 30).await?;
        if !is_ascending {
            listed.reverse();
        }
        let view = &self.threads[at];
        ensure!(view.unfinished().is_empty(), "items stay unfinished: {:?}", view.unfinished());
        ensure!(listed == view.items(), "the page shows {:#?}, the server lists {listed:#?}", view.items());
        Ok(())
    }

    /// Returns the rows of all pages of a list.
    async fn pages(&mut self, kind: &str, mut params: Value, most: usize) -> Result<Vec<Value>> {
        let limit = self.rng.usize(1..=most);
        params["limit"] = limit.into();
        let mut rows = Vec::new();
        loop {
            let page = self.send(kind, params.clone()).await?.json()?;
            let data = page["data"].as_array().context("a page has data")?;
            rows.extend(data.iter().cloned());
            if page["has_more"] == false {
                return Ok(rows);
            }
            ensure!(data.len() == limit, "a page before the last has {} of {limit} rows", data.len());
            params["after"] = page["after"].clone();
            if rows.len() > 1000 {
                bail!("the pages do not end");
            }
        }
    }

    fn thread_id(&self, at: usize) -> String {
        text(&self.threads[at].thread["id"])
    }
}

/// Returns the text and the positions of the annotations of each part.
fn parts(item: &Value) -> Result<Vec<ExpectedPart>> {
    let parts = item["content"].as_array().context("a message has content")?;
    let annotations = |part: &Value| part["annotations"].as_array().cloned().unwrap_or_default();
    let indexes = |part: &Value| annotations(part).iter().filter_map(|it| it["index"].as_u64()).collect();
    Ok(parts.iter().map(|part| (text(&part["text"]), indexes(part))).collect())
}

/// Returns the marker in a user's message.
fn marker_of(message: &Value) -> Result<String> {
    let parts = message["content"].as_array().context("a message has content")?;
    let marked = parts.iter().filter_map(|part| part["text"].as_str()).find(|text| text.starts_with('#'));
    let marker = marked.and_then(|text| text.split_inclusive('#').nth(1));
    Ok(format!("#{}", marker.context("a message without a marker")?))
}
