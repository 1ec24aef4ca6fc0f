//! Limits of an organisation: what a user or a session may do in a minute, in a day, or at once.

mod active_sessions;
mod client_secrets;
mod events;
mod idempotency_keys;
mod thread_reads;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};

/// Every limit: its name, its bounds and its default.
const LIMITS: [(&str, u32, u32, u32); 13] = [
    ("secrets_per_minute_user", 1, 100_000, 60),
    ("secrets_per_minute_session", 1, 100_000, 20),
    ("events_per_minute_user", 100, 1_000_000, 600),
    ("events_per_minute_session", 100, 1_000_000, 300),
    ("thread_reads_per_minute_user", 1, 100_000, 120),
    ("keys_per_day_user", 100, 1_000_000, 10_000),
    ("active_sessions_user", 1, 1_000_000, 200),
    ("turns_per_minute_user", 1, 100_000, 20),
    ("turns_per_minute_org", 1, 1_000_000, 2000),
    ("active_runs_user", 1, 100_000, 10),
    ("active_runs_org", 1, 100_000, 500),
    ("tokens_per_day_user", 1, 2_000_000_000, 20_000_000),
    ("tokens_per_day_org", 1, 2_000_000_000, 1_000_000_000),
];

#[tokio::test]
async fn set_org_limits_enforces_bounds_and_has_defaults() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    let set = async |more: Value| {
        let mut arguments = json!({ "p_org_id": org_id });
        let fields = arguments.as_object_mut().context("the arguments are not an object")?;
        fields.extend(more.as_object().context("the limits are not an object")?.clone());
        stack.rpc("set_org_limits", arguments).await
    };
    let mut failures = Vec::new();
    for (name, min, max, default) in LIMITS {
        let argument = format!("p_{name}");
        for (value, is_valid) in [(min - 1, false), (min, true), (max, true), (max + 1, false)] {
            let (status, answer) = set(json!({ &*argument: value })).await?;
            let as_expected = if is_valid {
                status.is_success() && answer["limits"][name] == value
            } else {
                !status.is_success() && answer["message"] == "invalid_limits"
            };
            if !as_expected {
                failures.push(format!("{name} {value}, valid: {is_valid}: found {status} {answer}"));
            }
        }
        let (_, answer) = set(json!({})).await?;
        if answer["limits"][name] != default {
            failures.push(format!("{name}: expected the default {default}, found {answer}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Sets limits of the caller's organisation.
async fn set_limits(stack: &LocalStack, caller: &TestClient, limits: Value) -> Result<()> {
    let mut arguments = limits;
    arguments["p_org_id"] = json!(caller.user.org_id);
    let (status, answer) = stack.rpc("set_org_limits", arguments).await?;
    ensure!(status.is_success(), "{status}: {answer}");
    Ok(())
}

/// Checks that the `RateLimit-Policy` is this one.
fn expect_policy(response: &TestResponse, policy: &str) -> Result<()> {
    let found = response.headers.get("ratelimit-policy");
    ensure!(
        found.is_some_and(|value| value == policy),
        "expected the RateLimit-Policy {policy}, found {found:?}"
    );
    Ok(())
}

/// The seconds in `Retry-After`.
fn retry_after(response: &TestResponse) -> Result<u64> {
    let value = response.headers.get("retry-after").context("no Retry-After")?;
    Ok(value.to_str()?.parse()?)
}
