//! Verification of access tokens: algorithms, key rotation, and outages of the key set.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{Fault, OldKey, Signer};
use serde_json::json;

use crate::support::client::{AGENT, TestClient, TestResponse};

#[tokio::test]
async fn es256_and_rs256_are_accepted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for signer in [Signer::Es256, Signer::Rs256] {
        let caller = caller.with_token(stack.issuer().token_builder(&caller.user).signed_by(signer).sign());
        caller.open_session().await?;
        caller.get("/chatkit/agents").await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn hs256_is_accepted_with_a_configured_secret() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let caller = TestClient::new(&stack).await?;
    let forge = || stack.issuer().token_builder(&caller.user);
    let list_agents = async |token: String| caller.with_token(token).get("/chatkit/agents").await;
    for signer in [Signer::Hs256, Signer::Es256, Signer::Rs256] {
        list_agents(forge().signed_by(signer).sign()).await?.expect(200)?;
    }
    for invalid in [
        forge().signed_by(Signer::HmacWithPublicKey).sign(),
        forge().signed_by(Signer::Hs256).header("alg", "HS512").sign(),
        forge().signed_by(Signer::Hs256).tampered().sign(),
        forge().signed_by(Signer::Unsigned).sign(),
        stack.supabase().legacy_service_key().to_owned(),
        stack.supabase().legacy_anon_key().to_owned(),
    ] {
        list_agents(invalid).await?.problem(401, "invalid_token")?;
    }
    list_agents(forge().signed_by(Signer::Hs256).expired(1).sign()).await?.problem(401, "expired_token")?;
    Ok(())
}

#[tokio::test]
async fn rotated_key_is_fetched_once_and_accepted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let with_old_key = TestClient::new(&stack).await?;
    with_old_key.get("/chatkit/agents").await?.expect(200)?;
    expect_key_fetches(&stack, 1)?;
    stack.rotate_keys(OldKey::StaysValid)?;
    let with_new_key = with_old_key.with_token(stack.issuer().token(&with_old_key.user));
    for caller in [&with_new_key, &with_old_key, &with_new_key] {
        caller.get("/chatkit/agents").await?.expect(200)?;
    }
    expect_key_fetches(&stack, 2)
}

#[tokio::test]
async fn unknown_key_ids_refetch_the_key_set_at_most_once_a_minute() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.get("/chatkit/agents").await?.expect(200)?;
    let before = key_fetches(&stack);
    for _ in 0..20 {
        let token = stack.issuer().token_builder(&caller.user).signed_by(Signer::UnknownKey).sign();
        caller.with_token(token).get("/chatkit/agents").await?.problem(401, "invalid_token")?;
    }
    expect_key_fetches(&stack, before + 1)?;
    // Tokens with a known key are not affected.
    caller.get("/chatkit/agents").await?.expect(200)?;
    expect_key_fetches(&stack, before + 1)
}

#[tokio::test]
async fn unavailable_key_set_returns_503_for_every_token() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let with_foreign_key =
        caller.with_token(stack.issuer().token_builder(&caller.user).signed_by(Signer::ForeignKey).sign());
    // No key set is fetched between the faults.
    for fault in [Fault::Down, Fault::Unavailable, Fault::Silent] {
        stack.supabase().set_fault(fault).await;
        expect_unavailable(caller.get("/chatkit/agents").await?)?;
        expect_unavailable(with_foreign_key.get("/chatkit/agents").await?)?;
        expect_unavailable(caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?)?;
        // A malformed token is rejected without a key.
        let with_malformed_token = caller.with_token("malformed".to_owned());
        with_malformed_token.get("/chatkit/agents").await?.problem(401, "invalid_token")?;
    }
    stack.supabase().set_fault(Fault::None).await;
    caller.get("/chatkit/agents").await?.expect(200)?;
    with_foreign_key.get("/chatkit/agents").await?.problem(401, "invalid_token")?;
    Ok(())
}

#[tokio::test]
async fn cached_key_set_is_used_during_an_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    caller.get(&session).await?.expect(200)?;
    stack.supabase().set_fault(Fault::Down).await;
    // The function reads the id after it has accepted the token.
    caller.get("/chatkit/sessions/7").await?.problem(400, "malformed_id")?;
    expect_unavailable(caller.get(&session).await?)?;
    let forge = || stack.issuer().token_builder(&caller.user);
    let get_session = async |token: String| caller.with_token(token).get(&session).await;
    get_session(forge().signed_by(Signer::ForeignKey).sign()).await?.problem(401, "invalid_token")?;
    get_session(forge().expired(1).sign()).await?.problem(401, "expired_token")?;
    get_session(forge().without("app_metadata").sign()).await?.problem(403, "no_organisation")?;
    // An unknown key may be in the set that cannot be fetched.
    for _ in 0..2 {
        expect_unavailable(get_session(forge().signed_by(Signer::UnknownKey).sign()).await?)?;
    }
    Ok(())
}

fn key_fetches(stack: &LocalStack) -> usize {
    stack.supabase().requests().iter().filter(|entry| entry.path == "/auth/v1/.well-known/jwks.json").count()
}

fn expect_key_fetches(stack: &LocalStack, expected: usize) -> Result<()> {
    let fetches = key_fetches(stack);
    ensure!(fetches == expected, "expected {expected} requests of the key set, found {fetches}");
    Ok(())
}

/// Checks for 503 with a positive `Retry-After`.
fn expect_unavailable(response: TestResponse) -> Result<()> {
    let retry_after =
        response.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    ensure!(retry_after.is_some_and(|seconds| seconds > 0), "expected Retry-After, found {response:?}");
    response.problem(503, "supabase_unavailable").map(drop)
}
