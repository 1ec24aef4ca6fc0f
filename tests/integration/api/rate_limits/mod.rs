//! Limits of an organisation: what a user or a session may do in a minute, in a day, or at once.

mod active_sessions;
mod client_secrets;
mod events;
mod idempotency_keys;
mod thread_reads;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
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
        let (_, answer) = set(json!({ "p_reset": [name] })).await?;
        if answer["limits"][name] != default {
            failures.push(format!("{name}: expected the default {default}, found {answer}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn set_org_limits_changes_only_the_named_limits() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    let mut expected = json!({ "org_id": org_id });
    for (name, _, _, default) in LIMITS {
        expected[name] = json!(default);
    }
    // Each limit is set alone, and the values of the others stay.
    for (name, _, max, _) in LIMITS {
        expected[name] = json!(max);
        expect_limits(&stack, json!({ "p_org_id": org_id, format!("p_{name}"): max }), &expected).await?;
    }
    expect_limits(&stack, json!({ "p_org_id": org_id }), &expected).await?;
    for (name, _, _, default) in LIMITS {
        expected[name] = json!(default);
        expect_limits(&stack, json!({ "p_org_id": org_id, "p_reset": [name] }), &expected).await?;
    }
    // A value takes precedence over a reset.
    let both = json!({ "p_org_id": org_id, "p_keys_per_day_user": 500, "p_reset": ["keys_per_day_user"] });
    expected["keys_per_day_user"] = json!(500);
    expect_limits(&stack, both, &expected).await?;
    let unknown = json!({ "p_org_id": org_id, "p_keys_per_day_user": 600, "p_reset": ["keys"] });
    let (status, answer) = stack.rpc("set_org_limits", unknown).await?;
    ensure!(status == 422 && answer["details"] == "unknown_limit:keys", "{status} {answer}");
    expect_limits(&stack, json!({ "p_org_id": org_id }), &expected).await
}

/// Without a lock, a call would write back what it has read of the other limits.
#[tokio::test]
async fn concurrent_changes_of_different_limits_are_all_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    for round in 0..5 {
        let mut expected = json!({ "org_id": org_id });
        let calls = LIMITS.map(|(name, _, max, _)| {
            expected[name] = json!(max - round);
            stack.rpc("set_org_limits", json!({ "p_org_id": org_id, format!("p_{name}"): max - round }))
        });
        for (status, answer) in try_join_all(calls).await? {
            ensure!(status.is_success(), "{status} {answer}");
        }
        expect_limits(&stack, json!({ "p_org_id": org_id }), &expected).await?;
    }
    Ok(())
}

/// Calls `set_org_limits`, and checks the limits that it returns.
async fn expect_limits(stack: &LocalStack, arguments: Value, expected: &Value) -> Result<()> {
    let (status, answer) = stack.rpc("set_org_limits", arguments.clone()).await?;
    ensure!(status.is_success(), "{arguments}: {status} {answer}");
    ensure!(answer["limits"] == *expected, "{arguments}: expected {expected}, found {answer}");
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
