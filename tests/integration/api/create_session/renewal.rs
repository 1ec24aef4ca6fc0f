//! Renewal of client secrets: `POST /chatkit/sessions` with `sessionId` and `purpose`.

use anyhow::{Context, Result, anyhow, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use local_stack::LocalStack;
use serde_json::{Value, json};
use shared::platform::sealing::{AssociatedData, Sealer};
use shared::platform::secret::Secret;

use crate::support::client::{AGENT, TestClient};

#[tokio::test]
async fn live_secret_is_returned_until_it_nears_expiry() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(
        renewed["chatkit"] == session["chatkit"],
        "expected the live secret {}, found {}",
        session["chatkit"],
        renewed["chatkit"]
    );
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '100 seconds'")
        .execute(stack.database())
        .await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(
        renewed["chatkit"]["clientSecret"] != session["chatkit"]["clientSecret"],
        "expected a new secret, found the one that expires in 100 seconds"
    );
    let creations = stack.openai().requests().into_iter().filter(|call| call.method == "POST").count();
    ensure!(creations == 2, "expected 2 creations at OpenAI, found {creations}");
    Ok(())
}

/// A rotation puts the new key first. The old key stays in the list while its secrets live.
#[tokio::test]
async fn secret_sealed_before_key_rotation_is_returned() -> Result<()> {
    let [new_key, old_key] =
        [("new", 1), ("old", 2)].map(|(id, byte)| format!("{id}:{}", STANDARD.encode([byte; 32])));
    let keys = format!("{new_key},{old_key}");
    let stack = LocalStack::builder().env("CHATKIT_SEALING_KEYS", &keys).start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let (chatkit_session_id, key_id): (String, String) =
        sqlx::query_as("select chatkit_session_id, sealing_key_id from chatkit_sessions")
            .fetch_one(stack.database())
            .await?;
    ensure!(key_id == "new", "expected a secret sealed with the first key, found the key {key_id}");
    let associated_data = AssociatedData {
        org_id: caller.user.org_id,
        session_id: session["id"].as_str().context("no session id")?.parse()?,
        chatkit_session_id: &chatkit_session_id,
    };
    let secret = Secret::new(session["chatkit"]["clientSecret"].as_str().context("no secret")?);
    let sealed = Sealer::parse(&old_key)
        .map_err(|reason| anyhow!(reason))?
        .seal(&secret, associated_data)
        .context("the secret was not sealed")?;
    sqlx::query("update chatkit_sessions set sealed_secret = $1, sealing_key_id = $2")
        .bind(sealed.text)
        .bind(sealed.key_id)
        .execute(stack.database())
        .await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(
        renewed["chatkit"] == session["chatkit"],
        "expected the secret {}, found {}",
        session["chatkit"],
        renewed["chatkit"]
    );
    Ok(())
}

#[tokio::test]
async fn secret_with_retired_sealing_key_is_replaced() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    sqlx::query("update chatkit_sessions set sealing_key_id = 'retired'").execute(stack.database()).await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(
        renewed["chatkit"]["clientSecret"] != session["chatkit"]["clientSecret"],
        "expected a new secret, found the one that cannot be decrypted"
    );
    let recorded: i64 =
        sqlx::query_scalar("select count(*) from chatkit_sessions where chatkit_session_id is not null")
            .fetch_one(stack.database())
            .await?;
    let created = stack.openai().sessions().len();
    ensure!(
        recorded == 2 && created == 2,
        "expected 2 ChatKit sessions, found {created} at OpenAI and {recorded} recorded"
    );
    Ok(())
}

#[tokio::test]
async fn resume_counts_as_activity_and_refresh_does_not() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let refreshed = renew(&caller, &session, "refresh").await?;
    ensure!(refreshed["lastActivityAt"] == session["lastActivityAt"], "a refresh counts as activity");
    let resumed = renew(&caller, &session, "resume").await?;
    ensure!(resumed["lastActivityAt"] != session["lastActivityAt"], "a resume does not count as activity");
    Ok(())
}

#[tokio::test]
async fn fields_that_contradict_the_session_return_422() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = caller.open_session().await?;
    for extra in [json!({ "agentId": "tax_compliance" }), json!({ "metadata": { "locale": "de" } })] {
        let mut body = json!({ "sessionId": session["id"], "purpose": "resume" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        caller.post("/chatkit/sessions", body).await?.problem(422, "session_mismatch")?;
    }
    let same = json!({ "sessionId": session["id"], "purpose": "resume", "agentId": AGENT, "metadata": {} });
    caller.post("/chatkit/sessions", same).await?.expect(200)?;
    Ok(())
}

async fn renew(caller: &TestClient, session: &Value, purpose: &str) -> Result<Value> {
    let body = json!({ "sessionId": session["id"], "purpose": purpose });
    caller.post("/chatkit/sessions", body).await?.expect(200)
}
