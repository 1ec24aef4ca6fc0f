//! Faults of the database webhook: a disabled trigger, and a missing extension.

use anyhow::Result;
use local_stack::LocalStack;

use super::{execute, expect_faults, start};

#[tokio::test]
async fn disabled_trigger_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    execute(&stack, "alter table public.delivery_queues disable trigger notify_route_events").await?;
    expect_faults(&stack, &[("schema", "trigger_disabled", "notify_route_events")], &[]).await
}

/// A restored or paused project can lack the extension.
#[tokio::test]
async fn missing_pg_net_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    execute(&stack, "drop schema net cascade").await?;
    expect_faults(&stack, &[("webhook", "webhook_extension_missing", "")], &[]).await
}

/// The key of the Vault belongs to the project, so a restore into another one can lose the secret.
#[tokio::test]
async fn missing_vault_or_secret_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    for cause in ["delete from vault.secrets", "drop schema vault cascade"] {
        execute(&stack, cause).await?;
        expect_faults(&stack, &[("webhook", "webhook_secret_missing", "")], &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn absent_webhook_is_skipped() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    execute(&stack, "delete from chatkit_private.webhook").await?;
    expect_faults(&stack, &[], &["webhook"]).await
}
