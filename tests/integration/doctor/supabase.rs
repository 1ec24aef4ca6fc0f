//! Supabase: not there, not Supabase, with keys of another project, and with tokens of somebody else's.

use std::time::Duration;

use anyhow::Result;
use local_stack::World;
use local_stack::http::Port;
use local_stack::supabase::{Canned, Fault};

use super::{OF_THE_DATABASE, finds, found};

// TODO pub fn trials() -> Vec<Trial> {
// TODO     let with = |name: &str, value: &str| World::builder().env(name, value);
// TODO     let default = World::builder;
// TODO     vec![
// TODO         alone("doctor: it finds that SUPABASE_URL names a host where nothing is", wrong_host),
// TODO         finds("that Supabase is down", default(), down),
// TODO         finds("that Supabase is out of order", default(), unavailable),
// TODO         finds("that Supabase is silent", default(), silent),
// TODO         finds("that the project is paused", default(), paused),
// TODO         finds("that a firewall stands before Supabase, and blames no key", default(), blocked),
// TODO         finds("that the database takes no writes", default(), read_only),
// TODO         finds("nothing in what passes within a second", default(), passing),
// TODO         alone("doctor: it finds that SUPABASE_URL is another site's", not_supabase),
// TODO         finds(
// TODO             "a publishable key of another project",
// TODO             with("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_of_another_project"),
// TODO             async |world: &World| {
// TODO                 found(world, &[("publishable_key", "publishable_key_refused", "")], &[]).await.map(drop)
// TODO             },
// TODO         ),
// TODO         finds(
// TODO             "a secret key of another project",
// TODO             with("SUPABASE_SECRET_KEY", "sb_secret_of_another_project"),
// TODO             async |world: &World| {
// TODO                 found(world, &[("secret_key", "secret_key_refused", "")], &OF_THE_DATABASE).await.map(drop)
// TODO             },
// TODO         ),
// TODO         finds(
// TODO             "that tokens are from another issuer",
// TODO             with("SUPABASE_JWT_ISSUER", "https://elsewhere.example/auth/v1"),
// TODO             issuer,
// TODO         ),
// TODO         finds("that the project publishes no key to verify tokens with", default(), no_keys),
// TODO     ]
// TODO }

// NAME: doctor: it finds that SUPABASE_URL names a host where nothing is
#[tokio::test]
async fn wrong_host() -> Result<()> {
    let free = Port::free().await?.url();
    let world = World::builder().env("SUPABASE_URL", &free).start().await?;
    found(&world, &[("supabase", "supabase_unreachable", "")], &of_supabase()).await.map(drop)
}

async fn down(world: &World) -> Result<()> {
    world.supabase().fault(Fault::Down).await;
    found(world, &[("supabase", "supabase_unreachable", "")], &of_supabase()).await.map(drop)
}

async fn unavailable(world: &World) -> Result<()> {
    world.supabase().fault(Fault::Unavailable).await;
    found(world, &[("supabase", "supabase_unavailable", "")], &of_supabase()).await.map(drop)
}

async fn silent(world: &World) -> Result<()> {
    world.supabase().fault(Fault::Silent).await;
    let (faults, skipped) = ([("supabase", "supabase_timed_out", "")], of_supabase());
    tokio::time::timeout(Duration::from_secs(20), found(world, &faults, &skipped)).await?.map(drop)
}

async fn paused(world: &World) -> Result<()> {
    world.supabase().fault(Fault::Canned(Canned::html(540).at("/"))).await;
    found(world, &[("supabase", "supabase_paused", "")], &of_supabase()).await.map(drop)
}

async fn blocked(world: &World) -> Result<()> {
    world.supabase().fault(Fault::Canned(Canned::html(403))).await;
    let code = "supabase_request_blocked";
    let faults = [("publishable_key", code, ""), ("secret_key", code, "")];
    found(world, &faults, &OF_THE_DATABASE).await.map(drop)
}

/// As Supabase sets it where the disk is full; who is connected already does not see it.
async fn read_only(world: &World) -> Result<()> {
    let set = "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$";
    sqlx::query(set).execute(world.database()).await?;
    let ended = "select pg_terminate_backend(pid) from pg_stat_activity
                 where usename = 'authenticator' and datname = current_database()";
    sqlx::query(ended).execute(world.database()).await?;
    found(world, &[("supabase", "supabase_read_only", "")], &[]).await.map(drop)
}

async fn passing(world: &World) -> Result<()> {
    // Once for each of the two keys; an answer of this kind is not asked for again by a call itself.
    let refused = Canned::gateway(401, "Invalid API key").times(2);
    world.supabase().fault(Fault::Canned(refused)).await;
    found(world, &[], &[]).await.map(drop)
}

// NAME: doctor: it finds that SUPABASE_URL is another site's
/// OpenAI's, as it happens.
#[tokio::test]
async fn not_supabase() -> Result<()> {
    let other = World::start().await?;
    let url = other.chatkit().base_url();
    let world = World::builder().env("SUPABASE_URL", url.trim_end_matches("/v1")).start().await?;
    found(&world, &[("supabase", "not_supabase", "")], &of_supabase()).await.map(drop)
}

async fn issuer(world: &World) -> Result<()> {
    found(world, &[("issuer", "issuer_differs", "elsewhere.example")], &[]).await.map(drop)
}

async fn no_keys(world: &World) -> Result<()> {
    world.supabase().fault(Fault::NoSigningKeys).await;
    found(world, &[("jwks", "jwks_empty", "")], &[]).await.map(drop)
}
