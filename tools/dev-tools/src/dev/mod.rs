//! `cargo dev`: starts the local stack with a page, prints URLs, tokens and commands, and keeps
//! them running.

mod assistant;
mod env_file;
mod interruption;
mod options;
mod page;
mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::terminal::TextStyle;
pub use env_file::EnvFile;
use interruption::Interruption;
use local_stack::http::Port;
pub use local_stack::seed_data::{Person, SeedData};
use local_stack::{LocalStack, ORIGIN};
use options::Options;
use page::{Build, BuildState};
pub use watch::Watch;

/// Interval at which new log lines are printed.
const LOG_INTERVAL: Duration = Duration::from_millis(200);

/// Starts the stack, prints how to use it, and runs until it is interrupted.
pub async fn run() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let style = TextStyle::detect();
    let mut interruption = Interruption::listen(options.until_stdin_closes)?;
    println!("{}", style.dim("Building the functions and starting the stack …"));
    let port = Port::preferred(options.port).await?;
    // Both names of the page's address.
    let origins = [ORIGIN.to_owned(), port.url(), port.url().replace("127.0.0.1", "localhost")];
    let mut build = Build::start();
    let builder = LocalStack::builder()
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
        .env("CORS_ALLOWED_ORIGINS", &origins.join(","));
    let stack = tokio::select! {
        stack = builder.start() => stack?,
        () = interruption.wait() => return Ok(()),
    };
    let seed = SeedData::create(&stack).await?;
    seed.register_agent_tools(&stack).await?;
    assistant::answer_for(stack.model());
    let file = match options.env_file {
        Some(path) => EnvFile::write_to(&stack, path)?,
        None => EnvFile::write(&stack)?,
    };
    let (page, mut requests) = page::serve(port, &stack, &seed, build.clone()).await?;
    print_introduction(style, &stack, &seed, file.path(), &page.url());

    let mut shown = 0;
    let mut is_built = false;
    loop {
        tokio::select! {
            () = interruption.wait() => break,
            Some(request) = requests.recv() => page::respond(&stack, request),
            state = build.finished(), if !is_built => {
                is_built = true;
                if let BuildState::Failed(reason) = state {
                    println!("{}", style.bad(format!("The page cannot be built, and all else works: {reason}")));
                }
            }
            () = tokio::time::sleep(LOG_INTERVAL) => {}
        }
        let lines = stack.lambda().logs().lines();
        for line in &lines[shown..] {
            println!("{} {}", style.actor(&line.function), line.text);
        }
        shown = lines.len();
    }
    println!("\n{}", style.dim("Stopping the stack …"));
    drop((page, file));
    stack.stop().await
}

fn print_introduction(style: TextStyle, stack: &LocalStack, seed: &SeedData, env_file: &Path, page: &str) {
    let title = |text: &str| println!("\n{}", style.bold(text));
    let row = |name: &str, value: &str| println!("  {name:<26} {}", style.sent(value));

    title("Page");
    row("a clerk and an approver", &format!("{page}/"));
    row("an operator's metrics", &format!("{page}/?view=operator"));

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
