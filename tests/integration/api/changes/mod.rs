//! `GET /chatkit/changes`: the change feed.

mod concurrency;
mod kinds;
mod plans;
mod polls;
mod restores;
mod visibility;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::support::client::TestClient;

/// A caller that polls the feed, with its latest cursor.
struct Feed<'c> {
    caller: &'c TestClient,
    scope: &'static str,
    cursor: String,
}

impl<'c> Feed<'c> {
    /// Sends the first request, which has no cursor.
    async fn new(caller: &'c TestClient, scope: &'static str) -> Result<Self> {
        let first = caller.get(&format!("/chatkit/changes?scope={scope}")).await?.expect(200)?;
        Ok(Self { caller, scope, cursor: cursor_of(&first)? })
    }

    fn path(&self) -> String {
        format!("/chatkit/changes?scope={}&since={}", self.scope, self.cursor)
    }

    /// Polls, and continues with the new cursor.
    async fn poll(&mut self) -> Result<Value> {
        let response = self.caller.get(&self.path()).await?.expect(200)?;
        self.cursor = cursor_of(&response)?;
        Ok(response)
    }

    /// Polls, and returns the ids of the changed sessions and escalations.
    async fn poll_ids(&mut self) -> Result<Vec<String>> {
        ids(&self.poll().await?)
    }
}

fn cursor_of(response: &Value) -> Result<String> {
    Ok(response["cursor"].as_str().context("the response has no cursor")?.to_owned())
}

/// The ids of a response: of an escalation its own, not its session's.
fn ids(response: &Value) -> Result<Vec<String>> {
    let changes = response["changes"].as_array().context("the response has no changes")?;
    let id = |change: &Value| {
        let id = change.get("escalationId").unwrap_or(&change["sessionId"]);
        id.as_str().map(str::to_owned).context("a change has no id")
    };
    changes.iter().map(id).collect()
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}
