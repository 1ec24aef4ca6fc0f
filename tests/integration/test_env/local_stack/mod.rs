//! The local stack, compared with Supabase's gateway and default grants, and with Lambda and API
//! Gateway.

mod default_grants;
mod entry_points;
mod function_failures;
mod gateway;
mod process_cleanup;
mod streaming;
mod tokens;

use anyhow::Result;
use local_stack::lambda::{Binaries, Profile, example};
use local_stack::{Builder, LocalStack};
use serde_json::Value;

/// Starts a stack whose functions return the event that they receive.
async fn start_with_echo(stack: Builder) -> Result<LocalStack> {
    let echo = example("baseline-functions", "echo", "", Profile::Dev).await?;
    let names = ["create-session", "list-sessions", "get-session"];
    let binaries: Binaries = names.iter().map(|name| ((*name).to_owned(), echo.clone())).collect();
    stack.binaries(binaries).start().await
}

/// Sends a GET request. Returns the status, and the body as JSON or as a string.
async fn get(url: &str) -> Result<(u16, Value)> {
    let response = local_stack::http::client().get(url).send().await?;
    let status = response.status().as_u16();
    let body = response.text().await?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}
