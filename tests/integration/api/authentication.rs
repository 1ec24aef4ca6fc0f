//! The keys that tokens are verified with: which are taken, when they are fetched, and what an outage of theirs means.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{Fault, OldKey, Signer};
use serde_json::json;

use crate::support::client::{AGENT, TestClient, TestResponse};

/// A caller whose token is another.
fn with(caller: &TestClient, stack: &LocalStack, token: String) -> TestClient {
    let mut caller = caller.at(stack.api_url());
    caller.token = token;
    caller
}

/// How often the key set was asked for.
fn fetches(stack: &LocalStack) -> usize {
    stack.supabase().requests().iter().filter(|entry| entry.path == "/auth/v1/.well-known/jwks.json").count()
}

// NAME: auth: ES256 and RS256 are both taken
#[tokio::test]
async fn both_algorithms() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for signer in [Signer::Es256, Signer::Rs256] {
        let caller = with(&caller, &stack, stack.issuer().forge(&caller.user).signed_by(signer).sign());
        caller.open().await?;
        caller.get("/chatkit/agents").await?.expect(200)?;
    }
    Ok(())
}

// NAME: auth: HS256 is taken where its secret is configured
#[tokio::test]
async fn legacy_secret() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let caller = TestClient::new(&stack).await?;
    let forge = || stack.issuer().forge(&caller.user);
    let attempt = async |token: String| with(&caller, &stack, token).get("/chatkit/agents").await;
    for signer in [Signer::Hs256, Signer::Es256, Signer::Rs256] {
        attempt(forge().signed_by(signer).sign()).await?.expect(200)?;
    }
    for bad in [
        forge().signed_by(Signer::HmacWithPublicKey).sign(),
        forge().signed_by(Signer::Hs256).header("alg", "HS512").sign(),
        forge().signed_by(Signer::Hs256).tampered().sign(),
        forge().signed_by(Signer::Nobody).sign(),
        stack.supabase().legacy_service_key().to_owned(),
        stack.supabase().legacy_anon_key().to_owned(),
    ] {
        attempt(bad).await?.problem(401, "invalid_token")?;
    }
    attempt(forge().signed_by(Signer::Hs256).expired(1).sign()).await?.problem(401, "expired_token")?;
    Ok(())
}

// NAME: auth: a key that is taken into use is found at once
#[tokio::test]
async fn rotation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let before = TestClient::new(&stack).await?;
    before.get("/chatkit/agents").await?.expect(200)?;
    ensure!(fetches(&stack) == 1, "the set was fetched {} times", fetches(&stack));
    stack.rotate_keys(OldKey::StaysValid)?;
    let after = with(&before, &stack, stack.issuer().token(&before.user));
    for caller in [&after, &before, &after] {
        caller.get("/chatkit/agents").await?.expect(200)?;
    }
    ensure!(fetches(&stack) == 2, "the set was fetched {} times", fetches(&stack));
    Ok(())
}

// NAME: auth: made-up keys ask for the key set once a minute at most
#[tokio::test]
async fn made_up_keys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.get("/chatkit/agents").await?.expect(200)?;
    let before = fetches(&stack);
    for _ in 0..20 {
        let made_up = stack.issuer().forge(&caller.user).signed_by(Signer::UnknownKey).sign();
        with(&caller, &stack, made_up).get("/chatkit/agents").await?.problem(401, "invalid_token")?;
    }
    ensure!(fetches(&stack) == before + 1, "twenty made-up keys: {} fetches", fetches(&stack) - before);
    // Who has a good key does not notice.
    caller.get("/chatkit/agents").await?.expect(200)?;
    ensure!(fetches(&stack) == before + 1);
    Ok(())
}

/// 503, and when to come back.
fn unavailable(reply: TestResponse) -> Result<()> {
    let again = reply.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    ensure!(again.is_some_and(|seconds| seconds > 0), "no Retry-After: {reply:?}");
    reply.problem(503, "supabase_unavailable").map(drop)
}

// NAME: auth: while no key set can be had, nobody is let in and nobody is blamed
#[tokio::test]
async fn no_keys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let stranger = stack.issuer().forge(&caller.user).signed_by(Signer::Stranger).sign();
    let stranger = with(&caller, &stack, stranger);
    // In turn, and no set is fetched in between.
    for fault in [Fault::Down, Fault::Unavailable, Fault::Silent] {
        stack.supabase().fault(fault).await;
        unavailable(caller.get("/chatkit/agents").await?)?;
        unavailable(stranger.get("/chatkit/agents").await?)?;
        unavailable(caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?)?;
        // What is no token at all needs no key.
        let nonsense = with(&caller, &stack, "nonsense".to_owned());
        nonsense.get("/chatkit/agents").await?.problem(401, "invalid_token")?;
    }
    stack.supabase().fault(Fault::None).await;
    caller.get("/chatkit/agents").await?.expect(200)?;
    stranger.get("/chatkit/agents").await?.problem(401, "invalid_token")?;
    Ok(())
}

// NAME: auth: a key set that is known goes on being used
#[tokio::test]
async fn known_keys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    caller.get(&session).await?.expect(200)?;
    stack.supabase().fault(Fault::Down).await;
    // What comes after the token is looked at, so the token was taken.
    caller.get("/chatkit/sessions/7").await?.problem(400, "malformed_id")?;
    unavailable(caller.get(&session).await?)?;
    let forge = || stack.issuer().forge(&caller.user);
    let attempt = async |token: String| with(&caller, &stack, token).get(&session).await;
    attempt(forge().signed_by(Signer::Stranger).sign()).await?.problem(401, "invalid_token")?;
    attempt(forge().expired(1).sign()).await?.problem(401, "expired_token")?;
    attempt(forge().without("app_metadata").sign()).await?.problem(403, "no_organisation")?;
    // A key that nobody knows yet may be in the set that cannot be had.
    for _ in 0..2 {
        unavailable(attempt(forge().signed_by(Signer::UnknownKey).sign()).await?)?;
    }
    Ok(())
}
