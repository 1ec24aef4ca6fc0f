//! The clerk chats with a self-hosted agent: a streamed answer, a crash, and a stop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::chat_client::{ChatClient, ChatStream, ThreadView};
use local_stack::model::{Delta, Gate, Script};
use serde_json::{Value, json};

use super::browser::TestResponse;
use super::printer::Printer;
use super::{Demo, TIMEOUT};

impl Demo<'_> {
    /// Connects the page's chat with the client secret of a response.
    pub fn connect_chat(&mut self, response: &TestResponse) -> Result<()> {
        let (url, secret) = (response.text("/chatkit/apiUrl")?, response.text("/chatkit/clientSecret")?);
        let url = url.strip_suffix("/chatkit").context("the apiUrl is not that of serve-chatkit")?;
        self.chat = ChatClient::new(url, &secret);
        self.client_secrets.push(secret);
        Ok(())
    }

    /// The id of the thread in the page.
    pub fn thread_id(&self) -> String {
        self.view.thread["id"].as_str().unwrap_or_default().to_owned()
    }
}

pub async fn question(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk asks a question, and the model's answer is streamed").await;
    let gate = Gate::new();
    let answer =
        [Delta::from("Yes: invoice 42 "), Delta::Wait(gate.clone()), Delta::from("was paid on Monday.")];
    demo.stack.model().script(Script::new().reasoning(["Look up invoice 42."]).deltas(answer));
    let text = "Is invoice 42 paid?";
    printer.request("the clerk", "POST /chatkit", &json!({ "type": "threads.create", "text": text }));
    let started = Instant::now();
    let mut stream = demo.chat.create_thread(text).await?;
    let mut view = ThreadView::default();
    while view.answer().is_empty() {
        view.apply(&stream.next().await?.context("the stream ended early")?)?;
    }
    printer.detail("first words", &format!("{:?} after {} ms", view.answer(), started.elapsed().as_millis()));
    printer.check_eq(
        "the first words arrive while the model still writes",
        1,
        demo.stack.model().running(),
    )?;
    gate.open();
    let view = ThreadView::from_events(&stream.finish().await?)?;
    print_items(printer, &view);
    printer.check_eq("the answer is complete", "Yes: invoice 42 was paid on Monday.", &view.answer())?;
    demo.view = view;
    check_stored(printer, demo).await
}

pub async fn crash(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The process is killed while it answers, and the page repeats its request").await;
    let gate = Gate::new();
    let half = [Delta::from("Invoice 44 is due "), Delta::Wait(gate.clone()), Delta::from("on Friday.")];
    demo.stack.model().script(Script::new().deltas(half));
    let text = "When is invoice 44 due?";
    let request = json!({ "type": "threads.add_user_message", "text": text });
    printer.request("the clerk", "POST /chatkit", &request);
    let mut stream = demo.chat.add_message(&demo.thread_id(), text).await?;
    stream.until("thread.item.added").await?;
    until_saved(demo, "Invoice 44").await?;
    printer.detail("killed", &format!("{} process", demo.stack.lambda().function("serve-chatkit")?.kill()));
    while let Ok(Some(_)) = stream.next().await {}
    demo.view.apply_all(stream.events())?;
    // Otherwise the demo would wait for the lease, some seconds.
    let expire = "update public.chat_runs set lease_until = clock_timestamp() where status = 'running'";
    sqlx::query(expire).execute(demo.stack.database()).await?;

    let items = demo.chat.items(&demo.thread_id()).await?;
    let kept: Vec<_> = items.iter().rev().take(3).rev().map(summary).collect();
    kept.iter().for_each(|item| printer.detail("kept", item));
    printer.check_eq(
        "the thread has the question, the text so far, and a mark",
        vec![
            format!("user_message {text}"),
            "assistant_message Invoice 44 is due ".to_owned(),
            "task The answer was interrupted.".to_owned(),
        ],
        kept,
    )?;
    gate.open();
    demo.stack.model().script(Script::new().text("Invoice 44 is due on Friday."));
    printer.request("the clerk", "POST /chatkit (again)", &request);
    let events = demo.chat.add_message(&demo.thread_id(), text).await?.finish().await?;
    demo.view.apply_all(&events)?;
    printer.check_eq("the same question is answered", "Invoice 44 is due on Friday.", &demo.view.answer())?;
    let asked = demo.view.items().iter().filter(|item| summary(item).contains(text)).count();
    printer.check_eq("it is in the thread once", 1, asked)?;
    check_stored(printer, demo).await
}

pub async fn stop(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk stops an answer on the phone").await;
    let words = (0..600).flat_map(|_| [Delta::from("and "), Delta::Pause(Duration::from_millis(50))]);
    demo.stack.model().script(Script::new().deltas(words));
    let text = "Tell me everything about every invoice.";
    printer.request("phone", "POST /chatkit", &json!({ "type": "threads.add_user_message", "text": text }));
    let mut stream = demo.chat.add_message(&demo.thread_id(), text).await?;
    stream.until("thread.item.updated").await?;
    let stopped = demo.clerk.post(printer, &format!("{}/stop", demo.session), Value::Null).await?;
    printer.fields(&stopped.body, &["/stopping"]);
    let started = Instant::now();
    finish(demo, stream).await?;
    printer.detail("silent after", &format!("{} ms", started.elapsed().as_millis()));
    let last = demo.view.items().last().map(summary).unwrap_or_default();
    printer.check_eq("the answer is marked as stopped", "task Stopped.", &last)?;
    printer.check("what was said is kept", demo.view.answer().starts_with("and "), demo.view.answer())?;
    check_stored(printer, demo).await
}

/// Asks a question in the clerk's thread.
pub async fn ask(printer: &mut Printer, demo: &mut Demo<'_>, text: &str) -> Result<()> {
    let request = json!({ "type": "threads.add_user_message", "text": text });
    printer.request("the clerk", "POST /chatkit", &request);
    let stream = demo.chat.add_message(&demo.thread_id(), text).await?;
    finish(demo, stream).await?;
    printer.detail("answer", &demo.view.answer());
    printer.check("the conversation continues", !demo.view.answer().is_empty(), &demo.view)
}

async fn finish(demo: &mut Demo<'_>, stream: ChatStream) -> Result<()> {
    demo.view.apply_all(&stream.finish().await?)
}

/// Checks that the page shows what is stored.
pub async fn check_stored(printer: &mut Printer, demo: &Demo<'_>) -> Result<()> {
    let items = demo.chat.items(&demo.thread_id()).await?;
    printer.check_eq("the page shows exactly what is stored", &items[..], demo.view.items())
}

pub fn print_items(printer: &Printer, view: &ThreadView) {
    view.items().iter().for_each(|item| printer.detail("item", &summary(item)));
}

/// The type and the text of an item.
fn summary(item: &Value) -> String {
    let texts = item["content"].as_array().into_iter().flatten();
    let text: String = texts.filter_map(|part| part["text"].as_str()).collect();
    let title = item["task"]["title"].as_str().unwrap_or_default();
    format!("{} {text}{title}", item["type"].as_str().unwrap_or_default())
}

async fn until_saved(demo: &Demo<'_>, text: &str) -> Result<()> {
    let started = Instant::now();
    let query = "select exists (select from public.chat_runs where position($1 in draft::text) > 0)";
    while !sqlx::query_scalar::<_, bool>(query).bind(text).fetch_one(demo.stack.database()).await? {
        ensure!(started.elapsed() < TIMEOUT, "{text:?} was not saved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
