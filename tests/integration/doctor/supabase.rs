//! Faults of Supabase: the project, its keys and its tokens.

use std::time::Duration;

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::http::ClosedPort;
use local_stack::supabase::{CannedResponse, Fault};

use super::{DATABASE_CHECKS, expect_faults, start, with_env};

#[tokio::test]
async fn url_of_unused_address_is_reported() -> Result<()> {
    let unused = ClosedPort::free()?;
    let stack = with_env("SUPABASE_URL", unused.url()).start().await?;
    expect_supabase_fault(&stack, "supabase_unreachable").await
}

/// The URL of OpenAI, for example.
#[tokio::test]
async fn url_of_another_service_is_reported() -> Result<()> {
    let other = LocalStack::start().await?;
    let url = other.openai().base_url();
    let stack = with_env("SUPABASE_URL", url.trim_end_matches("/v1")).start().await?;
    expect_supabase_fault(&stack, "not_supabase").await
}

#[tokio::test]
async fn unreachable_project_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.supabase().set_fault(Fault::Down).await;
    expect_supabase_fault(&stack, "supabase_unreachable").await
}

#[tokio::test]
async fn unavailable_project_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.supabase().set_fault(Fault::Unavailable).await;
    expect_supabase_fault(&stack, "supabase_unavailable").await
}

#[tokio::test]
async fn project_without_response_is_reported_within_20_seconds() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.supabase().set_fault(Fault::Silent).await;
    tokio::time::timeout(Duration::from_secs(20), expect_supabase_fault(&stack, "supabase_timed_out")).await?
}

#[tokio::test]
async fn paused_project_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.supabase().set_fault(Fault::Canned(CannedResponse::html(540).at("/"))).await;
    expect_supabase_fault(&stack, "supabase_paused").await
}

#[tokio::test]
async fn firewall_is_reported_instead_of_keys() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.supabase().set_fault(Fault::Canned(CannedResponse::html(403))).await;
    let code = "supabase_request_blocked";
    let faults = [("publishable_key", code, ""), ("secret_key", code, "")];
    expect_faults(&stack, &faults, &DATABASE_CHECKS).await
}

/// Supabase sets this option if the disk is full. Only new connections see it.
#[tokio::test]
async fn read_only_database_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let set_read_only = "do $$ begin
        execute format('alter database %I set default_transaction_read_only = on', current_database());
        end $$";
    sqlx::query(set_read_only).execute(stack.database()).await?;
    let end_connections = "select pg_terminate_backend(pid) from pg_stat_activity
        where usename = 'authenticator' and datname = current_database()";
    sqlx::query(end_connections).execute(stack.database()).await?;
    expect_faults(&stack, &[("supabase", "supabase_read_only", "")], &[]).await
}

#[tokio::test]
async fn failure_shorter_than_a_second_is_not_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    // One for each key. The client does not retry a request with this response itself.
    let invalid_key = CannedResponse::gateway(401, "Invalid API key").times(2);
    stack.supabase().set_fault(Fault::Canned(invalid_key)).await;
    expect_faults(&stack, &[], &[]).await
}

#[tokio::test]
async fn publishable_key_of_another_project_is_reported() -> Result<()> {
    let stack = start(with_env("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_of_another_project")).await?;
    expect_faults(&stack, &[("publishable_key", "publishable_key_refused", "")], &[]).await
}

#[tokio::test]
async fn secret_key_of_another_project_is_reported() -> Result<()> {
    let stack = start(with_env("SUPABASE_SECRET_KEY", "sb_secret_of_another_project_01234567")).await?;
    expect_faults(&stack, &[("secret_key", "secret_key_refused", "")], &DATABASE_CHECKS).await
}

#[tokio::test]
async fn another_token_issuer_is_reported() -> Result<()> {
    let stack = start(with_env("SUPABASE_JWT_ISSUER", "https://elsewhere.example/auth/v1")).await?;
    expect_faults(&stack, &[("issuer", "issuer_differs", "elsewhere.example")], &[]).await
}

#[tokio::test]
async fn empty_jwks_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    stack.supabase().set_fault(Fault::NoSigningKeys).await;
    expect_faults(&stack, &[("jwks", "jwks_empty", "")], &[]).await
}

/// The doctor skips every check that needs the project.
async fn expect_supabase_fault(stack: &LocalStack, code: &str) -> Result<()> {
    let skipped: Vec<&str> =
        ["publishable_key", "secret_key", "jwks", "issuer"].into_iter().chain(DATABASE_CHECKS).collect();
    expect_faults(stack, &[("supabase", code, "")], &skipped).await
}
