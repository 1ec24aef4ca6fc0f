//! `cargo bench-stream`: measures the streamed chat: the time to the first token, memory, 200
//! streams at once, and the cold start beside OpenAI's server in Python.
//!
//! Each measurement is compared with another one of the same run, so that the speed of the machine
//! and other load affect both.

mod chat;
mod cold_start;
mod concurrency;
mod first_token;
mod memory;
mod reference;
mod table;

use anyhow::{Result, bail};
use local_stack::LocalStack;
use local_stack::lambda;
use local_stack::lambda::Profile;
use local_stack::toolchain::OPENAI_CHATKIT;

use super::BUILDING;
use crate::terminal::TextStyle;
use chat::{FUNCTION, Organisation};

/// The measurements, by name.
const PARTS: [&str; 4] = ["first-token", "memory", "concurrency", "cold-start"];

/// Measures all parts, or those that the arguments name, prints the table, and fails if a limit is
/// exceeded.
pub async fn run() -> Result<()> {
    let selected: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = selected.iter().find(|name| !PARTS.contains(&name.as_str())) {
        bail!("{unknown} is not a part of the benchmark; the parts are {}", PARTS.join(", "));
    }
    let style = TextStyle::detect();
    // Without Python, the error names the packages to install. It comes before the long build.
    OPENAI_CHATKIT.install_async().await?;
    println!("{}", style.dim(BUILDING));
    let binaries = lambda::selected_functions(["create-session", FUNCTION], Profile::Release).await?;
    let mut rows = Vec::new();
    for part in PARTS {
        if !selected.is_empty() && !selected.iter().any(|name| name == part) {
            continue;
        }
        println!("{}", style.dim(format!("Measuring {part} …")));
        let builder = LocalStack::builder().binaries(binaries.clone()).env("AWS_LAMBDA_LOG_LEVEL", "INFO");
        // A stack for each part, because the client secrets expire and the logs of requests grow.
        let stack = builder.start().await?;
        let organisation = Organisation::create(&stack).await?;
        rows.extend(match part {
            "first-token" => first_token::measure(organisation).await?,
            "memory" => memory::measure(organisation).await?,
            "concurrency" => concurrency::measure(organisation).await?,
            _ => cold_start::measure(organisation).await?,
        });
        stack.stop().await?;
    }
    println!("\n{}", table::text(style, &rows));
    let exceeded: Vec<String> = rows.iter().filter_map(table::Row::exceeded_limit).collect();
    if exceeded.is_empty() { Ok(()) } else { bail!("limits exceeded: {}", exceeded.join("; ")) }
}
