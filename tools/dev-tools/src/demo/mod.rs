//! `cargo demo`: the journey, played over HTTP as browsers would, in front of whoever watches.

mod agents;
mod browser;
mod conversation;
mod ending;
mod metrics;
mod opening;
mod other_users;
mod printer;
mod summary;

use anyhow::Result;

use crate::dev::Cast;
use crate::terminal::TextStyle;
use browser::Browser;
use local_stack::LocalStack;
use printer::Stage;
use uuid::Uuid;

/// What the acts hand on to each other.
struct Play<'a> {
    stack: &'a LocalStack,
    org_id: Uuid,
    clerk: Browser,
    approver: Browser,
    stranger: Browser,
    /// `/chatkit/sessions/{id}` of the session that all of it is about.
    session: String,
    session_id: String,
    client_secret: String,
    thread_id: String,
}

/// Plays it, and fails at the first promise that is not kept.
pub async fn run() -> Result<()> {
    let ink = TextStyle::detect();
    println!("{}", ink.dim("Building the functions and starting the stack …"));
    let stack = LocalStack::start().await?;
    let cast = Cast::assemble(&stack).await?;
    let mut stage = Stage::new(ink);
    prologue(&stage, &stack);
    let mut play = Play {
        stack: &stack,
        org_id: cast.clerk.user.org_id,
        clerk: Browser::of(&cast.clerk, stack.api_url()),
        approver: Browser::of(&cast.approver, stack.api_url()),
        stranger: Browser::of(&cast.stranger, stack.api_url()),
        session: String::new(),
        session_id: String::new(),
        client_secret: String::new(),
        thread_id: String::new(),
    };
    let outcome = acts(&mut stage, &mut play).await;
    if outcome.is_err() {
        // Why something failed inside is in the functions' logs, and nowhere else.
        let logs = stack.final_logs().await;
        stage.aside("The functions' last log lines:");
        let telling = logs.iter().rev().filter(|line| !line.contains(r#""level":"DEBUG""#));
        telling.take(12).collect::<Vec<_>>().into_iter().rev().for_each(|line| stage.aside(line));
    }
    stack.stop().await?;
    outcome?;
    stage.applause();
    Ok(())
}

async fn acts(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    opening::agents(stage, play).await?;
    opening::session(stage, play).await?;
    conversation::talk(stage, play).await?;
    conversation::click(stage, play).await?;
    conversation::ask_for_a_person(stage, play).await?;
    other_users::second_device(stage, play).await?;
    other_users::colleague(stage, play).await?;
    other_users::stranger(stage, play).await?;
    ending::openai_down(stage, play).await?;
    ending::list(stage, play).await?;
    ending::cancel(stage, play).await?;
    ending::too_late(stage, play).await?;
    agents::at_work(stage, play).await?;
    agents::click(stage, play).await?;
    agents::approval(stage, play).await?;
    agents::handover(stage, play).await?;
    agents::without_webhook(stage, play).await?;
    metrics::dashboard(stage, play).await?;
    summary::tables(stage, play).await
}

fn prologue(stage: &Stage, stack: &LocalStack) {
    stage.title("ChatKit sessions for finance teams: the journey of one session");
    stage.aside("On this stage: a real PostgreSQL with the project's migrations, a PostgREST-compatible server behind Supabase's");
    stage.aside("gateway, the function binaries behind Lambda's Runtime API, a strict stand-in for OpenAI's ChatKit, and three finance agents.");
    stage.fact("The API", &stack.api_url());
    stage.fact("Supabase", &stack.supabase().url());
    stage.fact("OpenAI's place", &stack.openai().base_url());
    stack.agents().iter().for_each(|agent| stage.fact("An agent", &agent.url()));
    stage.fact("The cast", "a clerk and an approver of one organisation, and the owner of another one");
}
