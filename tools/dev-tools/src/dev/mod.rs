//! `cargo local`: the stack, left running, with all that one needs to try it by hand.

mod env_file;
mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::TextStyle;
pub use env_file::EnvFile;
use local_stack::LocalStack;
pub use local_stack::seed_data::{Cast, Person};
pub use watch::Watch;

/// How often new lines of the functions' logs are looked for.
const LOG_INTERVAL: Duration = Duration::from_millis(200);

/// Brings the stack up, says how to use it, and stays until it is interrupted.
pub async fn run() -> Result<()> {
    let ink = TextStyle::detect();
    let mut interrupted = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("listening for the end")?;
    println!("{}", ink.dim("Building the functions and starting the stack …"));
    let stack = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let cast = Cast::assemble(&stack).await?;
    cast.put_agents_to_work(&stack).await?;
    let file = EnvFile::write(&stack)?;
    introduce(ink, &stack, &cast, file.path());

    let mut shown = 0;
    loop {
        tokio::select! {
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            () = tokio::time::sleep(LOG_INTERVAL) => {}
        }
        let lines = stack.lambda().logs().lines();
        for line in &lines[shown..] {
            println!("{} {}", ink.actor(&line.function), line.text);
        }
        shown = lines.len();
    }
    println!("\n{}", ink.dim("Ending the stack …"));
    drop(file);
    stack.stop().await
}

fn introduce(ink: TextStyle, stack: &LocalStack, cast: &Cast, env_file: &Path) {
    let title = |text: &str| println!("\n{}", ink.bold(text));
    let row = |name: &str, value: &str| println!("  {name:<26} {}", ink.sent(value));

    title("Where");
    row("the API", &stack.api_url());
    for function in stack.lambda().names() {
        row(&format!("  {function}"), &stack.function_url(function));
    }
    row("Supabase", &stack.supabase().url());
    row("  publishable key", stack.supabase().publishable_key());
    row("  secret key", stack.supabase().secret_key());
    row("ChatKit at OpenAI", &stack.openai().base_url());
    row("PostgreSQL", &stack.psql());

    title("Who");
    for person in cast.people() {
        println!("  {}", ink.actor(format!("# {}", person.title)));
        println!("  {}={}", person.variable, person.token);
    }

    title("Try it, with the lines above in the same shell");
    println!("{}", ink.sent(curl_lines(stack)));

    title("The same functions under cargo-lambda");
    println!("  {}", ink.sent(format!("cargo lambda watch --env-file {}", env_file.display())));

    title("Whether all is well with it");
    println!("  {}", ink.sent(format!("cargo doctor --env-file {}", env_file.display())));
    println!("\n{}", ink.dim("Ctrl-C ends it. What the functions write to their logs follows."));
}

/// Lines for a shell that knows the tokens: the beginning of the journey, and what a stranger sees of it.
fn curl_lines(stack: &LocalStack) -> String {
    let api = stack.api_url();
    format!(
        r#"  API={api}
  curl -s "$API/chatkit/agents" -H "Authorization: Bearer $CLERK"
  curl -s "$API/chatkit/sessions" -H "Authorization: Bearer $CLERK" \
    -H 'Content-Type: application/json' -d '{{"agentId":"accounts_payable"}}'
  curl -s "$API/chatkit/sessions?status=active" -H "Authorization: Bearer $CLERK"
  curl -s "$API/chatkit/sessions?scope=organisation" -H "Authorization: Bearer $APPROVER"
  curl -s "$API/chatkit/sessions?scope=organisation" -H "Authorization: Bearer $STRANGER""#
    )
}
