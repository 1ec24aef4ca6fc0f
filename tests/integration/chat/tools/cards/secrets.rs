//! The token with which a client secret was requested: its rules hold for clicks.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ChatClient;
use serde_json::{Value, json};

use super::{HeldCall, action, field, last_text};
use crate::chat::fixture::text;
use crate::chat::tools::fixture::ToolPage;

/// Returns a client secret of the page's session, requested with a token that has these claims.
async fn secret(tools: &ToolPage<'_>, claims: &[(&str, Value)], purpose: &str) -> Result<String> {
    let mut token = tools.stack.issuer().token_builder(&tools.page.user.user);
    for (name, value) in claims {
        token = token.claim(name, value.clone());
    }
    let user = tools.page.user.with_token(token.sign());
    let body = json!({ "sessionId": tools.page.session_id, "purpose": purpose });
    let session = user.post("/chatkit/sessions", body).await?.expect(200)?;
    Ok(text(session.pointer("/chatkit/clientSecret").context("no secret")?))
}

fn chat(tools: &ToolPage<'_>, secret: &str) -> ChatClient {
    tools.page.chat.with_secret(secret)
}

#[tokio::test]
async fn decision_without_the_required_second_factor_is_refused_with_a_notice() -> Result<()> {
    let stack = LocalStack::builder().env("REQUIRE_AAL2_TO_DECIDE", "true").start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let before = held.card().await?;
    for label in ["Confirm", "Withdraw"] {
        let click = action(&before, label)?;
        let weak = chat(&tools, &secret(&tools, &[("aal", json!("aal1"))], "refresh").await?);
        let card = held.click(&weak, &click).await?;
        ensure!(last_text(&card).starts_with("Deciding requires a second factor."), "{card:#}");
        let events = held.click_streamed(&weak, &click).await?;
        let notice = events.last().context("no events")?;
        ensure!(notice["type"] == "notice" && notice["level"] == "warning", "{events:#?}");
        let message = text(&notice["message"]);
        ensure!(message.starts_with("Deciding requires a second factor."), "{events:#?}");
    }
    ensure!(held.card().await? == before, "nothing was decided");

    let strong = chat(&tools, &secret(&tools, &[("aal", json!("aal2"))], "refresh").await?);
    let card = held.click(&strong, &action(&before, "Confirm")?).await?;
    ensure!(field(&card, "Call").as_deref() == Some("Waits to be called."), "{card:#}");
    Ok(())
}

#[tokio::test]
async fn decision_of_a_third_party_application_is_refused_unless_it_is_allowed() -> Result<()> {
    let stack =
        LocalStack::builder().env("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "allowed-client").start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let confirm = action(&held.card().await?, "Confirm")?;
    let other = chat(&tools, &secret(&tools, &[("client_id", json!("other-client"))], "resume").await?);
    let card = held.click(&other, &confirm).await?;
    ensure!(last_text(&card).starts_with("This application may not decide."), "{card:#}");
    let allowed = chat(&tools, &secret(&tools, &[("client_id", json!("allowed-client"))], "resume").await?);
    let card = held.click(&allowed, &confirm).await?;
    ensure!(field(&card, "Decision").is_some(), "{card:#}");
    Ok(())
}

/// A token receives a secret that another token made only if the rules treat them alike.
#[tokio::test]
async fn secret_is_shared_only_by_tokens_of_the_same_assurance() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let aal = |level: &str| [("aal", json!(level))];
    let strong = secret(&tools, &aal("aal2"), "refresh").await?;
    let weak = secret(&tools, &aal("aal1"), "refresh").await?;
    ensure!(weak != strong, "a token without a second factor got the secret of one with it");
    ensure!(secret(&tools, &aal("aal1"), "resume").await? == weak, "the same assurance shares");
    ensure!(secret(&tools, &aal("aal2"), "refresh").await? == strong, "the same assurance shares");
    let mut of_client = aal("aal2").to_vec();
    of_client.push(("client_id", json!("client")));
    ensure!(secret(&tools, &of_client, "refresh").await? != strong, "the client differs");
    // All of them are secrets of the session.
    for secret in [&strong, &weak] {
        chat(&tools, secret).json("threads.list", json!({})).await?;
    }
    Ok(())
}

/// A restrictive policy of the project sees the claims of the token.
#[tokio::test]
async fn row_policies_see_the_assurance_of_the_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let confirm = action(&held.card().await?, "Confirm")?;
    let strong = chat(&tools, &secret(&tools, &[("aal", json!("aal2"))], "refresh").await?);
    let weak = chat(&tools, &secret(&tools, &[("aal", json!("aal1"))], "refresh").await?);
    tools
        .execute(
            "create policy mfa on public.chat_escalations as restrictive for select to authenticated
             using ((select auth.jwt() ->> 'aal') = 'aal2')",
        )
        .await?;
    let card = held.click(&weak, &confirm).await?;
    ensure!(last_text(&card).starts_with("This cannot be decided here."), "{card:#}");
    let card = held.click(&strong, &confirm).await?;
    ensure!(field(&card, "Decision").is_some(), "{card:#}");
    Ok(())
}
