//! `GET /chatkit/escalations/{id}`: what became of an escalation, names, and visibility.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;
use crate::support::escalations::{
    EscalationFixture, decide, decide_with_answer, with_unknown_id, without_request_ids,
};

fn path(escalation: &Value) -> String {
    format!("/chatkit/escalations/{}", escalation["id"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn details_follow_the_call_after_the_decision() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let read = async || fixture.member.get(&path(&held)).await?.expect(200);
    let before = read().await?;
    ensure!(
        before["delivery"]["id"] == held["subject"]["deliveryId"] && before["delivery"]["status"] == "asked",
        "expected the held delivery: {before:#}"
    );
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    let after = read().await?;
    ensure!(
        after["delivery"]["id"] != before["delivery"]["id"] && after["delivery"]["status"] == "pending",
        "expected the delivery that continues: {after:#}"
    );
    let calls = fixture.claim_calls().await?;
    let call = calls.first().context("expected the released call")?;
    ensure!(read().await?["delivery"]["status"] == "running", "expected a running delivery");
    stack.finish_delivery(call, json!({ "kind": "failed", "error": "agent_failed" })).await?;
    let failed = read().await?;
    ensure!(
        failed["delivery"]
            == json!({ "id": after["delivery"]["id"], "status": "dead", "error": "agent_failed" }),
        "expected the failure: {failed:#}"
    );
    ensure!(
        failed["decidedBy"] == json!(fixture.approver.user.id) && failed["closedAt"] == failed["decidedAt"],
        "expected the decision: {failed:#}"
    );
    // The failure is a question of its own, about the delivery that failed.
    let question = fixture.newest_escalation("agent_failed").await?;
    let question = fixture.approver.get(&path(&question)).await?.expect(200)?;
    ensure!(question["delivery"]["status"] == "dead", "expected the failed delivery: {question:#}");
    let browser = fixture.escalate_from_page(json!({})).await?;
    ensure!(fixture.member.get(&path(&browser)).await?.expect(200)?["delivery"].is_null(), "no delivery");
    Ok(())
}

#[tokio::test]
async fn edit_names_its_successor_and_rejections_are_listed_before() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.add_colleague(OrgRole::Approver).await?;
    let first = fixture.hold_payment(1).await?;
    decide_with_answer(&fixture.approver, &first, "edit", json!({ "amount": 2 })).await?.expect(200)?;
    let successor = fixture.newest_escalation("policy").await?;
    let details = fixture.member.get(&path(&first)).await?.expect(200)?;
    ensure!(details["successorId"] == successor["id"], "expected {}, found {details:#}", successor["id"]);

    // The same request: rejected, withdrawn by the requester, and rejected again. Another amount.
    let rejected = fixture.hold_payment(7).await?;
    decide(&fixture.approver, &rejected, "reject").await?.expect(200)?;
    let withdrawn = fixture.hold_payment(7).await?;
    decide(&fixture.member, &withdrawn, "reject").await?.expect(200)?;
    let again = fixture.hold_payment(7).await?;
    decide(&fixture.approver, &again, "reject").await?.expect(200)?;
    let other = fixture.hold_payment(8).await?;
    decide(&fixture.approver, &other, "reject").await?.expect(200)?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let session = colleague.open_session_path().await?;
    let approver = fixture.approver.with_token(fixture.approver.token.clone());
    let of_colleague = EscalationFixture { stack: &stack, member: colleague, approver, session };
    let same_by_another = of_colleague.hold_payment(7).await?;
    let last = fixture.hold_payment(7).await?;
    for (name, escalation, expected) in [
        ("first", &rejected, json!([])),
        ("again", &again, json!([rejected["id"]])),
        ("last", &last, json!([again["id"], rejected["id"]])),
        ("of another user", &same_by_another, json!([])),
    ] {
        let details = fixture.approver.get(&path(escalation)).await?.expect(200)?;
        let ids: Value = details["rejectedBefore"]
            .as_array()
            .context("no list")?
            .iter()
            .map(|r| r["id"].clone())
            .collect();
        ensure!(ids == expected, "{name}: expected {expected}, found {:#}", details["rejectedBefore"]);
    }
    Ok(())
}

#[tokio::test]
async fn names_come_from_app_metadata_or_email_and_never_from_user_metadata() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    let set = async |user: Uuid, fields: &'static str| {
        sqlx::query(sqlx::AssertSqlSafe(format!("update auth.users set {fields} where id = $1")))
            .bind(user)
            .execute(stack.database())
            .await
    };
    let (member, approver) = (fixture.member.user.id, fixture.approver.user.id);
    set(member, r#"raw_user_meta_data = '{"name": "The CFO", "full_name": "The CFO"}'"#).await?;
    set(approver, r#"raw_app_meta_data = raw_app_meta_data || '{"name": " Approver A "}'"#).await?;
    let names = async || {
        let details = fixture.member.get(&path(&held)).await?.expect(200)?;
        anyhow::Ok((details["userName"].clone(), details["decidedByName"].clone()))
    };
    let expected = (json!(fixture.member.user.email()), json!("Approver A"));
    let found = names().await?;
    ensure!(found == expected, "expected {expected:?}, found {found:?}");
    // An object is not a name, and a person who left has none here.
    set(member, r#"raw_app_meta_data = raw_app_meta_data || '{"name": {"first": "x"}}', email = null"#)
        .await?;
    set(
        approver,
        r#"raw_app_meta_data = raw_app_meta_data || '{"org_id": "00000000-0000-4000-8000-000000000000"}'"#,
    )
    .await?;
    let found = names().await?;
    ensure!(found == (Value::Null, Value::Null), "expected no names, found {found:?}");
    Ok(())
}

#[tokio::test]
async fn unchanged_escalation_returns_304_until_it_changes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let read = async |tag: &str| {
        let headers = [("if-none-match", tag)];
        fixture.approver.send(Method::GET, &path(&held), &headers, None).await
    };
    let first = fixture.approver.get(&path(&held)).await?;
    let tag = first.headers["etag"].to_str()?.to_owned();
    ensure!(first.headers["cache-control"] == "private, no-cache", "{first:?}");
    ensure!(read(&tag).await?.status == 304, "expected 304 for an unchanged escalation");
    fixture.approver.post(&format!("{}/claim", path(&held)), json!({})).await?.expect(200)?;
    let claimed = read(&tag).await?;
    ensure!(claimed.status == 200 && claimed.headers["etag"] != tag.as_str(), "a claim: {claimed:?}");
    let tag = claimed.headers["etag"].to_str()?.to_owned();
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    ensure!(read(&tag).await?.status == 200, "expected 200 after the decision");
    Ok(())
}

#[tokio::test]
async fn escalation_that_the_caller_may_not_read_returns_404_as_an_unknown_one() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let stranger = TestClient::in_organisation(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    for (name, caller) in [("colleague", &colleague), ("stranger", &stranger)] {
        let existing = caller.get(&path(&held)).await?.problem(404, "escalation_not_found")?;
        let unknown =
            caller.get(&path(&with_unknown_id(&held))).await?.problem(404, "escalation_not_found")?;
        ensure!(
            without_request_ids(existing) == without_request_ids(unknown),
            "{name}: expected the same response for an existing and an unknown escalation"
        );
        for verb in ["claim", "release"] {
            let path = format!("{}/{verb}", path(&held));
            caller.post(&path, json!({})).await?.problem(404, "escalation_not_found")?;
        }
    }
    // A restrictive policy of the project hides the session, and with it the escalation.
    let policy = "create policy mfa on public.chat_sessions as restrictive for select to authenticated
        using ((select auth.jwt() ->> 'aal') = 'aal2')";
    sqlx::query(policy).execute(stack.database()).await?;
    let with_level = |level: &str| {
        let token = stack.issuer().token_builder(&fixture.approver.user).claim("aal", json!(level)).sign();
        fixture.approver.with_token(token)
    };
    for (level, is_visible) in [("aal1", false), ("aal2", true)] {
        let caller = with_level(level);
        let listed = caller.get("/chatkit/escalations").await?.expect(200)?;
        let count = listed["escalations"].as_array().map_or(0, Vec::len);
        ensure!(count == usize::from(is_visible), "{level}: found {count} escalations");
        let status = caller.get(&path(&held)).await?.status;
        ensure!((status == 200) == is_visible, "{level}: found the status {status}");
        let status = caller.post(&format!("{}/claim", path(&held)), json!({})).await?.status;
        ensure!((status == 200) == is_visible, "{level}: the claim has the status {status}");
    }
    Ok(())
}
