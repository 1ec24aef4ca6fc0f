//! The local stack behaves as what it stands for: Supabase's gateway, its default grants, and Lambda with its two doors.

mod default_grants;
mod entry_points;
mod function_failures;
mod gateway;
mod process_cleanup;
mod tokens;

use anyhow::Result;
use local_stack::lambda::{Binaries, Profile, example};
use local_stack::{Builder, LocalStack};
use serde_json::Value;

/// A stack whose functions all are one that answers with the event it got.
async fn echoing(stack: Builder) -> Result<LocalStack> {
    let echo = example("baseline-functions", "echo", "", Profile::Dev).await?;
    let names = ["create-session", "list-sessions", "get-session"];
    let binaries: Binaries = names.iter().map(|name| ((*name).to_owned(), echo.clone())).collect();
    stack.binaries(binaries).start().await
}

/// The answer of a GET, and its body as JSON where it is some.
async fn get(url: &str) -> Result<(u16, Value)> {
    let response = local_stack::http::client().get(url).send().await?;
    let status = response.status().as_u16();
    let body = response.text().await?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}
