//! Supabase: not there, not Supabase, with keys of another project, and with tokens of somebody else's.

use std::time::Duration;

use anyhow::Result;
use local_stack::Builder;
use local_stack::LocalStack;
use local_stack::http::Port;
use local_stack::supabase::{Canned, Fault};

use super::{OF_THE_DATABASE, finds, found};

/// What cannot be looked at while Supabase is not there.
fn of_supabase() -> Vec<&'static str> {
    ["publishable_key", "secret_key", "jwks", "issuer"].into_iter().chain(OF_THE_DATABASE).collect()
}

fn with(name: &str, value: &str) -> Builder {
    LocalStack::builder().env(name, value)
}

// NAME: doctor: it finds that Supabase is down
#[tokio::test]
async fn finds_that_supabase_is_down() -> Result<()> {
    finds(LocalStack::builder(), down).await
}

// NAME: doctor: it finds that Supabase is out of order
#[tokio::test]
async fn finds_that_supabase_is_out_of_order() -> Result<()> {
    finds(LocalStack::builder(), unavailable).await
}

// NAME: doctor: it finds that Supabase is silent
#[tokio::test]
async fn finds_that_supabase_is_silent() -> Result<()> {
    finds(LocalStack::builder(), silent).await
}

// NAME: doctor: it finds that the project is paused
#[tokio::test]
async fn finds_that_the_project_is_paused() -> Result<()> {
    finds(LocalStack::builder(), paused).await
}

// NAME: doctor: it finds that a firewall stands before Supabase, and blames no key
#[tokio::test]
async fn finds_that_a_firewall_stands_before_supabase_and_blames_no_key() -> Result<()> {
    finds(LocalStack::builder(), blocked).await
}

// NAME: doctor: it finds that the database takes no writes
#[tokio::test]
async fn finds_that_the_database_takes_no_writes() -> Result<()> {
    finds(LocalStack::builder(), read_only).await
}

// NAME: doctor: it finds nothing in what passes within a second
#[tokio::test]
async fn finds_nothing_in_what_passes_within_a_second() -> Result<()> {
    finds(LocalStack::builder(), passing).await
}

// NAME: doctor: it finds a publishable key of another project
#[tokio::test]
async fn finds_a_publishable_key_of_another_project() -> Result<()> {
    finds(
        with("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_of_another_project"),
        async |stack: &LocalStack| {
            found(stack, &[("publishable_key", "publishable_key_refused", "")], &[]).await.map(drop)
        },
    )
    .await
}

// NAME: doctor: it finds a secret key of another project
#[tokio::test]
async fn finds_a_secret_key_of_another_project() -> Result<()> {
    finds(with("SUPABASE_SECRET_KEY", "sb_secret_of_another_project"), async |stack: &LocalStack| {
        found(stack, &[("secret_key", "secret_key_refused", "")], &OF_THE_DATABASE).await.map(drop)
    })
    .await
}

// NAME: doctor: it finds that tokens are from another issuer
#[tokio::test]
async fn finds_that_tokens_are_from_another_issuer() -> Result<()> {
    finds(with("SUPABASE_JWT_ISSUER", "https://elsewhere.example/auth/v1"), issuer).await
}

// NAME: doctor: it finds that the project publishes no key to verify tokens with
#[tokio::test]
async fn finds_that_the_project_publishes_no_key_to_verify_tokens_with() -> Result<()> {
    finds(LocalStack::builder(), no_keys).await
}

// NAME: doctor: it finds that SUPABASE_URL names a host where nothing is
#[tokio::test]
async fn wrong_host() -> Result<()> {
    let free = Port::free().await?.url();
    let stack = LocalStack::builder().env("SUPABASE_URL", &free).start().await?;
    found(&stack, &[("supabase", "supabase_unreachable", "")], &of_supabase()).await.map(drop)
}

async fn down(stack: &LocalStack) -> Result<()> {
    stack.supabase().fault(Fault::Down).await;
    found(stack, &[("supabase", "supabase_unreachable", "")], &of_supabase()).await.map(drop)
}

async fn unavailable(stack: &LocalStack) -> Result<()> {
    stack.supabase().fault(Fault::Unavailable).await;
    found(stack, &[("supabase", "supabase_unavailable", "")], &of_supabase()).await.map(drop)
}

async fn silent(stack: &LocalStack) -> Result<()> {
    stack.supabase().fault(Fault::Silent).await;
    let (faults, skipped) = ([("supabase", "supabase_timed_out", "")], of_supabase());
    tokio::time::timeout(Duration::from_secs(20), found(stack, &faults, &skipped)).await?.map(drop)
}

async fn paused(stack: &LocalStack) -> Result<()> {
    stack.supabase().fault(Fault::Canned(Canned::html(540).at("/"))).await;
    found(stack, &[("supabase", "supabase_paused", "")], &of_supabase()).await.map(drop)
}

async fn blocked(stack: &LocalStack) -> Result<()> {
    stack.supabase().fault(Fault::Canned(Canned::html(403))).await;
    let code = "supabase_request_blocked";
    let faults = [("publishable_key", code, ""), ("secret_key", code, "")];
    found(stack, &faults, &OF_THE_DATABASE).await.map(drop)
}

/// As Supabase sets it where the disk is full; who is connected already does not see it.
async fn read_only(stack: &LocalStack) -> Result<()> {
    let set = "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$";
    sqlx::query(set).execute(stack.database()).await?;
    let ended = "select pg_terminate_backend(pid) from pg_stat_activity
                 where usename = 'authenticator' and datname = current_database()";
    sqlx::query(ended).execute(stack.database()).await?;
    found(stack, &[("supabase", "supabase_read_only", "")], &[]).await.map(drop)
}

async fn passing(stack: &LocalStack) -> Result<()> {
    // Once for each of the two keys; an answer of this kind is not asked for again by a call itself.
    let refused = Canned::gateway(401, "Invalid API key").times(2);
    stack.supabase().fault(Fault::Canned(refused)).await;
    found(stack, &[], &[]).await.map(drop)
}

// NAME: doctor: it finds that SUPABASE_URL is another site's
/// OpenAI's, as it happens.
#[tokio::test]
async fn not_supabase() -> Result<()> {
    let other = LocalStack::start().await?;
    let url = other.openai().base_url();
    let stack = LocalStack::builder().env("SUPABASE_URL", url.trim_end_matches("/v1")).start().await?;
    found(&stack, &[("supabase", "not_supabase", "")], &of_supabase()).await.map(drop)
}

async fn issuer(stack: &LocalStack) -> Result<()> {
    found(stack, &[("issuer", "issuer_differs", "elsewhere.example")], &[]).await.map(drop)
}

async fn no_keys(stack: &LocalStack) -> Result<()> {
    stack.supabase().fault(Fault::NoSigningKeys).await;
    found(stack, &[("jwks", "jwks_empty", "")], &[]).await.map(drop)
}
