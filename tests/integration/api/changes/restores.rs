//! The change feed of a database that was restored from a dump. Its rows name transactions that have
//! not begun.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::json;
use uuid::Uuid;

use super::{Feed, id_of};
use crate::support::client::AGENT;
use crate::support::escalations::EscalationFixture;

/// A transaction of the database from which the dump was made.
pub(super) const RESTORED_XID: &str = "1000000000000";

/// Makes all sessions and escalations restored ones.
async fn restore(stack: &LocalStack) -> Result<()> {
    let statements = "begin; set local session_replication_role = replica;
        update public.chat_sessions set change_xid = '1000000000000';
        update public.chat_escalations set change_xid = '1000000000000'; commit";
    sqlx::raw_sql(statements).execute(stack.database()).await?;
    Ok(())
}

#[tokio::test]
async fn restored_rows_are_not_changes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.escalate_from_page(json!({})).await?;
    restore(&stack).await?;
    let mut feed = Feed::new(&fixture.approver, "organisation").await?;
    let idle = json!({ "changes": [], "incomplete": false, "counts": null, "cursor": feed.cursor });
    let found = feed.poll().await?;
    ensure!(found == idle, "one session and one escalation: expected {idle:#}, found {found:#}");

    let insert = "
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider, change_xid)
        select gen_random_uuid(), $1, $2, 'web', $3, 'openai_hosted', $4::xid8
        from generate_series(1, 501)";
    let user = &fixture.member.user;
    let insert = sqlx::query(insert).bind(user.org_id).bind(user.id).bind(AGENT).bind(RESTORED_XID);
    insert.execute(stack.database()).await?;
    let found = feed.poll().await?;
    ensure!(found == idle, "more than 500 sessions: expected {idle:#}, found {found:#}");
    Ok(())
}

/// The first change of a restored row gives it a transaction of this database.
#[tokio::test]
async fn change_of_a_restored_row_that_commits_late_is_returned_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let early = fixture.escalate_from_page(json!({})).await?;
    let late = fixture.escalate_from_page(json!({})).await?;
    let session = fixture.session.rsplit('/').next().unwrap_or_default().to_owned();
    restore(&stack).await?;
    let mut feed = Feed::new(&fixture.approver, "organisation").await?;
    let touch_session = "update chat_sessions set last_activity_at = clock_timestamp() where id = $1";
    let touch_escalation = "update chat_escalations set risk = risk where id = $1";
    let mut transaction = stack.database().begin().await?;
    for (touch, id) in [(touch_session, &session), (touch_escalation, &id_of(&late))] {
        sqlx::query(touch).bind(id.parse::<Uuid>()?).execute(&mut *transaction).await?;
    }
    let early_id: Uuid = id_of(&early).parse()?;
    sqlx::query(touch_escalation).bind(early_id).execute(stack.database()).await?;
    for expected in [vec![id_of(&early)], Vec::new()] {
        let found = feed.poll_ids().await?;
        ensure!(found == expected, "before the commit: expected {expected:?}, found {found:?}");
    }
    transaction.commit().await?;
    for expected in [vec![session, id_of(&late)], Vec::new()] {
        let found = feed.poll_ids().await?;
        ensure!(found == expected, "after the commit: expected {expected:?}, found {found:?}");
    }
    Ok(())
}
