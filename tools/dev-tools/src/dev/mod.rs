//! `cargo dev`: starts the local stack, prints URLs, tokens and commands, and keeps it running.

mod env_file;
mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::TextStyle;
pub use env_file::EnvFile;
use local_stack::LocalStack;
pub use local_stack::seed_data::{Person, SeedData};
pub use watch::Watch;

/// Interval at which new log lines are printed.
const LOG_INTERVAL: Duration = Duration::from_millis(200);

/// Starts the stack, prints how to use it, and runs until it is interrupted.
pub async fn run() -> Result<()> {
    let style = TextStyle::detect();
    let mut interrupted = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    println!("{}", style.dim("Building the functions and starting the stack …"));
    let stack = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "INFO").start().await?;
    let seed = SeedData::create(&stack).await?;
    seed.register_agent_tools(&stack).await?;
    let file = EnvFile::write(&stack)?;
    print_introduction(style, &stack, &seed, file.path());

    let mut shown = 0;
    loop {
        tokio::select! {
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            () = tokio::time::sleep(LOG_INTERVAL) => {}
        }
        let lines = stack.lambda().logs().lines();
        for line in &lines[shown..] {
            println!("{} {}", style.actor(&line.function), line.text);
        }
        shown = lines.len();
    }
    println!("\n{}", style.dim("Stopping the stack …"));
    drop(file);
    stack.stop().await
}

fn print_introduction(style: TextStyle, stack: &LocalStack, seed: &SeedData, env_file: &Path) {
    let title = |text: &str| println!("\n{}", style.bold(text));
    let row = |name: &str, value: &str| println!("  {name:<26} {}", style.sent(value));

    title("URLs");
    row("API", &stack.api_url());
    for function in stack.lambda().names() {
        row(&format!("  {function}"), &stack.function_url(function));
    }
    row("Supabase", &stack.supabase().url());
    row("  publishable key", stack.supabase().publishable_key());
    row("  secret key", stack.supabase().secret_key());
    row("OpenAI (fake)", &stack.openai().base_url());
    row("PostgreSQL", &stack.psql());

    title("Tokens (valid for 24 hours)");
    for person in seed.people() {
        println!("  {}", style.actor(format!("# {}", person.title)));
        println!("  {}={}", person.variable, person.token);
    }

    title("Requests (set the variables above in the same shell first)");
    println!("{}", style.sent(curl_lines(stack)));

    title("Run the same functions with cargo-lambda");
    println!("  {}", style.sent(format!("cargo lambda watch --env-file {}", env_file.display())));

    title("Check the configuration");
    println!("  {}", style.sent(format!("cargo doctor --env-file {}", env_file.display())));
    println!("\n{}", style.dim("Press Ctrl-C to stop. The functions' log lines follow."));
}

/// Returns curl commands for a shell that has the tokens as variables.
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
