//! Servers that are not ours, by MCP's own Python SDK: one of an older revision, one of the newest.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use libtest_mimic::Trial;
use local_stack::agents::Reference;
use local_stack::tools::{MCP_2025, MCP_2026, Tool};
use serde_json::{Map, Value, json};
use shared::mcp::{Call, CallError, Outcome};
use shared::upstream::Deadline;

use super::{arguments, client, completed, target};
use crate::harness::alone;

pub fn trials() -> Vec<Trial> {
    vec![
        alone("mcp: a server of 2025 that is not ours is called and answers", async || {
            answers(MCP_2025).await
        }),
        alone("mcp: a server of 2026 that is not ours is called and answers", async || {
            answers(MCP_2026).await
        }),
    ]
}

async fn answers(sdk: Tool) -> Result<()> {
    let server = Reference::start(sdk).await?;
    let (client, url) = (client(&[server.address()], "{}")?, server.url());
    let call = async |tool, arguments: Value| -> Result<Outcome, CallError> {
        let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
        let deadline = Deadline::after(Duration::from_secs(30));
        client.call(&target(&url), Call { tool, arguments, resume: None }, deadline).await
    };
    let contract = completed(call("handle_event", Value::Object(arguments("k1", &json!({})))).await)?;
    let message = "button_click of 019aab51-7c7e-7a52-b1a0-3f6c3f6f2a10 under k1";
    assert_eq!(contract.message.as_deref(), Some(message), "{contract:?}");
    assert_eq!(contract.tasks[0].title, "Look at it");

    let any = completed(call("greet", json!({"name": "Ada"})).await)?;
    assert_eq!(any.message.as_deref(), Some("Hello, Ada!"), "{any:?}");

    for (tool, arguments) in [("fail", json!({})), ("greet", json!({"name": {"not": "text"}}))] {
        let outcome = call(tool, arguments).await;
        let Ok(Outcome::Failed(failed)) = outcome else { return Err(anyhow!("{tool}: {outcome:?}")) };
        ensure!(failed.message.is_some_and(|message| message.contains(tool)));
    }
    Ok(())
}
