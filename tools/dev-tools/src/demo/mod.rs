//! `cargo demo`: runs the main use case over HTTP as browsers do, and prints each step.

mod browser;
mod chat;
mod chat_tools;
mod deliveries;
mod end_session;
mod events;
mod metrics;
mod open_session;
mod other_users;
mod printer;
mod summary;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::dev::SeedData;
use crate::terminal::TextStyle;
use browser::Browser;
use local_stack::LocalStack;
use local_stack::chat_client::{ChatClient, ThreadView};
use printer::Printer;
use uuid::Uuid;

/// Longer than any step takes, including retries.
const TIMEOUT: Duration = Duration::from_secs(30);

/// State that the sections share.
struct Demo<'a> {
    stack: &'a LocalStack,
    org_id: Uuid,
    clerk: Browser,
    approver: Browser,
    stranger: Browser,
    /// `/chatkit/sessions/{id}` of the demo's session.
    session: String,
    session_id: String,
    /// The chat in the clerk's page.
    chat: ChatClient,
    /// The thread as the clerk's page shows it.
    view: ThreadView,
    /// Every client secret that was issued.
    client_secrets: Vec<String>,
}

/// Runs all sections and fails at the first failed check.
pub async fn run() -> Result<()> {
    let style = TextStyle::detect();
    println!("{}", style.dim("Building the functions and starting the stack …"));
    let stack = LocalStack::start().await?;
    let seed = SeedData::create(&stack).await?;
    let mut printer = Printer::new(style);
    print_introduction(&printer, &stack);
    let mut demo = Demo {
        stack: &stack,
        org_id: seed.clerk.user.org_id,
        clerk: Browser::new(&seed.clerk, stack.api_url()),
        approver: Browser::new(&seed.approver, stack.api_url()),
        stranger: Browser::new(&seed.stranger, stack.api_url()),
        session: String::new(),
        session_id: String::new(),
        chat: ChatClient::new("", ""),
        view: ThreadView::default(),
        client_secrets: Vec::new(),
    };
    let outcome = run_sections(&mut printer, &mut demo).await;
    if outcome.is_err() {
        // Only the functions' logs contain the cause of an internal error.
        let logs = stack.final_logs().await;
        printer.note("The last log lines of the functions:");
        let relevant = logs.iter().rev().filter(|line| !line.contains(r#""level":"DEBUG""#));
        relevant.take(12).collect::<Vec<_>>().into_iter().rev().for_each(|line| printer.note(line));
    }
    stack.stop().await?;
    outcome?;
    printer.summary();
    Ok(())
}

async fn run_sections(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    open_session::agents(printer, demo).await?;
    open_session::session(printer, demo).await?;
    chat::question(printer, demo).await?;
    chat::crash(printer, demo).await?;
    events::click(printer, demo).await?;
    events::open_escalation(printer, demo).await?;
    other_users::second_device(printer, demo).await?;
    chat::stop(printer, demo).await?;
    other_users::colleague(printer, demo).await?;
    other_users::other_tenant(printer, demo).await?;
    end_session::openai_down(printer, demo).await?;
    end_session::list(printer, demo).await?;
    end_session::cancel(printer, demo).await?;
    end_session::after_the_end(printer, demo).await?;
    deliveries::register(printer, demo).await?;
    deliveries::click(printer, demo).await?;
    deliveries::approval(printer, demo).await?;
    deliveries::handover(printer, demo).await?;
    deliveries::without_webhook(printer, demo).await?;
    chat_tools::open(printer, demo).await?;
    chat_tools::approval(printer, demo).await?;
    chat_tools::confirmation(printer, demo).await?;
    chat_tools::injection(printer, demo).await?;
    chat_tools::handover(printer, demo).await?;
    metrics::dashboard(printer, demo).await?;
    summary::tables(printer, demo).await
}

/// Polls until something is found.
async fn until_found<T>(what: &str, find: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = find().await? {
            return Ok(found);
        }
        ensure!(started.elapsed() < TIMEOUT, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn print_introduction(printer: &Printer, stack: &LocalStack) {
    printer.title("ChatKit sessions for finance teams: one session from start to end");
    printer.note("The local stack: PostgreSQL with the project's migrations, a PostgREST-compatible");
    printer.note("server behind Supabase's gateway, the function binaries behind Lambda's Runtime");
    printer.note("API, strict fakes of a model server and of OpenAI's ChatKit API, and three finance");
    printer.note("agents.");
    printer.field("API", &stack.api_url());
    printer.field("Supabase", &stack.supabase().url());
    printer.field("Model (fake)", &stack.model().base_url());
    printer.field("OpenAI (fake)", &stack.openai().base_url());
    stack.agents().iter().for_each(|agent| printer.field("Agent", &agent.url()));
    printer.field("Users", "a clerk and an approver of one organisation, and the owner of another");
}
