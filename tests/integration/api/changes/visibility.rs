//! Visibility of changes: by user, role and organisation.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;

use super::{Feed, id_of, ids};
use crate::support::client::TestClient;
use crate::support::escalations::EscalationFixture;

#[tokio::test]
async fn callers_get_only_changes_that_they_may_read() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let stranger = TestClient::new(&stack).await?;
    let owner_of_another = TestClient::in_organisation(&stack, stranger.user.org_id, OrgRole::Owner).await?;
    let first = fixture.member.get("/chatkit/changes").await?.expect(200)?;
    let since = super::cursor_of(&first)?;
    let escalation = fixture.hold_payment(1).await?;
    let session = fixture.session.rsplit('/').next().unwrap_or_default().to_owned();
    let (session, escalation) = (vec![session], vec![id_of(&escalation)]);
    let both = [session.clone(), escalation.clone()].concat();
    let none = Vec::new();
    for (who, caller, scope, expected, open) in [
        ("the user", &fixture.member, "own", &both, 1),
        ("an approver", &fixture.approver, "own", &escalation, 1),
        ("an approver, of the organisation", &fixture.approver, "organisation", &both, 1),
        ("a colleague", &colleague, "own", &none, 0),
        ("a member of another organisation", &stranger, "own", &none, 0),
        ("an owner of another organisation", &owner_of_another, "organisation", &none, 0),
    ] {
        let path = format!("/chatkit/changes?scope={scope}&since={since}");
        let response = caller.get(&path).await?.expect(200)?;
        let found = ids(&response)?;
        ensure!(found == *expected, "{who}: expected {expected:?}, found {found:?}");
        let first = caller.get(&format!("/chatkit/changes?scope={scope}")).await?.expect(200)?;
        ensure!(first["counts"]["open"] == open, "{who}: expected {open}, found {first:#}");
    }
    // A token of a former role: the database decides what the caller may read and decide.
    let path = format!("/chatkit/changes?scope=organisation&since={since}");
    fixture.member.get(&path).await?.problem(403, "scope_forbidden")?;
    Ok(())
}

/// A row that a project's own policy hides is not a change, and is not counted.
#[tokio::test]
async fn hidden_rows_are_neither_returned_nor_counted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut feed = Feed::new(&fixture.approver, "organisation").await?;
    fixture.hold_payment(1).await?;
    for table in ["chat_escalations", "chat_sessions"] {
        let policy = format!(
            "create policy mfa on public.{table} as restrictive for select to authenticated
             using ((select auth.jwt() ->> 'aal') = 'aal2')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(policy)).execute(stack.database()).await?;
        let response = fixture.approver.get(&feed.path()).await?.expect(200)?;
        let kinds: Vec<_> =
            response["changes"].as_array().into_iter().flatten().map(|c| &c["kind"]).collect();
        let expected = if table == "chat_escalations" { vec!["session"] } else { Vec::new() };
        ensure!(kinds == expected, "{table}: expected {expected:?}, found {kinds:?}");
        ensure!(response["counts"].is_null(), "{table}: {response:#}");
        let first = fixture.approver.get("/chatkit/changes").await?.expect(200)?;
        ensure!(first["counts"]["open"] == 0, "{table}: expected no open ones, found {first:#}");
    }
    // The cursor stays the same, as if nothing had changed.
    let before = feed.cursor.clone();
    feed.poll().await?;
    ensure!(feed.cursor == before, "expected the cursor {before}, found {}", feed.cursor);
    let second_factor = stack.issuer().token_builder(&fixture.approver.user).claim("aal", json!("aal2"));
    let verified = fixture.approver.with_token(second_factor.sign());
    let seen = verified.get(&feed.path()).await?.expect(200)?;
    ensure!(ids(&seen)?.len() == 2 && seen["counts"]["open"] == 1, "{seen:#}");
    Ok(())
}
