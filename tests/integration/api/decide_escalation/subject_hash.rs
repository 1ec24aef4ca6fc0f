//! A decision applies only to the subject whose hash it quotes.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use crate::support::client::AGENT;
use crate::support::escalations::{
    EscalationFixture, decide, decide_with_answer, decision_body, decision_path,
};

#[tokio::test]
async fn approval_with_hash_of_another_payment_returns_409() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let (small, large) = (fixture.hold_payment(10).await?, fixture.hold_payment(1_000_000).await?);
    ensure!(small["subjectHash"] != large["subjectHash"], "two payments have the same subject hash");
    let response = fixture.approver.post(&decision_path(&large), decision_body(&small, "approve")).await?;
    response.problem(409, "subject_changed")?;
    ensure!(fixture.claim_calls().await?.is_empty(), "the hash of another payment released the call");
    decide(&fixture.approver, &small, "approve").await?.expect(200)?;
    // The recorded approval does not apply to the other payment either.
    fixture
        .approver
        .post(&decision_path(&large), decision_body(&small, "approve"))
        .await?
        .problem(409, "subject_changed")?;
    let calls = fixture.claim_calls().await?;
    ensure!(
        calls.len() == 1 && calls[0]["event"]["payload"]["data"]["amount"] == 10,
        "expected the approved call: {calls:#?}"
    );
    Ok(())
}

/// The API requires a hash, so only a holder of the secret key can omit it.
#[tokio::test]
async fn approval_in_sql_without_hash_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(12_000).await?;
    let user = &fixture.approver.user;
    let mut transaction = stack.database().begin().await?;
    sqlx::query("set local role service_role").execute(&mut *transaction).await?;
    let decided = sqlx::query("select public.decide_escalation($1, $2, $3::uuid, 'approve', null)")
        .bind(user.org_id)
        .bind(user.id)
        .bind(held["id"].as_str())
        .execute(&mut *transaction)
        .await;
    transaction.commit().await?;
    let message =
        decided.as_ref().err().and_then(|error| error.as_database_error()).map(|error| error.message());
    ensure!(message == Some("subject_changed"), "expected subject_changed, found {decided:?}");
    ensure!(fixture.claim_calls().await?.is_empty(), "an approval without a hash released the call");
    Ok(())
}

#[tokio::test]
async fn edited_inputs_pass_the_policy_before_the_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let limits = json!({
        "policy": "auto", "amount_pointer": "/data/amount", "ask_above": 100, "refuse_above": 20_000,
    });
    let fixture = EscalationFixture::new(&stack, limits).await?;
    let held = fixture.hold_payment(12_000).await?;
    for inputs in [
        json!({ "data": { "amount": 20_001 } }),
        json!({ "data": { "amount": "twenty" } }),
        json!({ "amount": 1 }),
    ] {
        decide_with_answer(&fixture.approver, &held, "edit", inputs).await?.problem(422, "policy_forbids")?;
    }
    decide_with_answer(&fixture.approver, &held, "edit", json!([1])).await?.problem(422, "invalid_answer")?;
    ensure!(fixture.claim_calls().await?.is_empty(), "a rejected edit released the call");
    let inputs = json!({ "data": { "amount": 19_000, "invoice": 42 } });
    // Without a second approver, the edit could not be approved. The request is rejected.
    decide_with_answer(&fixture.approver, &held, "edit", inputs.clone())
        .await?
        .problem(409, "no_other_approver")?;
    let another = fixture.add_colleague(OrgRole::Admin).await?;
    let decided = decide_with_answer(&fixture.approver, &held, "edit", inputs.clone()).await?.expect(200)?;
    ensure!(decided["escalation"]["answer"] == inputs, "expected the edited inputs: {decided:#}");
    ensure!(fixture.claim_calls().await?.is_empty(), "the author released the edit");

    let successor = fixture.newest_escalation("policy").await?;
    ensure!(
        successor["authorId"] == json!(fixture.approver.user.id)
            && successor["predecessorId"] == held["id"]
            && successor["subject"]["inputs"] == inputs,
        "expected a successor with the edited inputs: {successor:#}"
    );
    decide(&fixture.approver, &successor, "approve").await?.problem(403, "author_may_not_decide")?;
    decide(&fixture.member, &successor, "approve").await?.problem(403, "own_request")?;
    decide(&another, &successor, "approve").await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    ensure!(calls.len() == 1 && calls[0]["inputs"] == inputs, "expected one call with the edit: {calls:#?}");
    Ok(())
}

/// The page copies the reason and the subject of a held call. The origin is still `browser`.
#[tokio::test]
async fn forged_page_escalation_releases_no_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(12_000).await?;
    let with_delivery = json!({
        "id": Uuid::new_v4(), "type": "hitl_escalation",
        "payload": {
            "reason": "Pay", "decisions": ["approve"], "kind": "policy",
            "deliveryId": held["subject"]["deliveryId"],
        },
    });
    fixture
        .member
        .post(&format!("{}/events", fixture.session), with_delivery)
        .await?
        .problem(422, "invalid_request")?;
    // The reason and the schema are the only fields that the page can copy.
    let forged = fixture
        .escalate_from_page(json!({
            "reason": held["reason"],
            "schema": { "deliveryId": held["subject"]["deliveryId"], "agentId": AGENT, "tool": "pay" },
        }))
        .await?;
    ensure!(
        forged["origin"] == "browser" && forged["subject"]["kind"] == "browser",
        "expected the origin browser: {forged:#}"
    );
    ensure!(forged["subject"].get("deliveryId").is_none(), "expected no delivery: {forged:#}");
    decide(&fixture.member, &forged, "approve").await?.expect(200)?;
    ensure!(fixture.claim_calls().await?.is_empty(), "a forged escalation released a payment");
    // The approval of the forged escalation does not apply to the held call.
    fixture
        .approver
        .post(&decision_path(&held), decision_body(&forged, "approve"))
        .await?
        .problem(409, "subject_changed")?;
    let open = fixture.approver.get("/chatkit/escalations").await?.expect(200)?;
    ensure!(open["escalations"] == json!([held]), "expected only the held call: {open:#}");
    Ok(())
}

#[tokio::test]
async fn decision_that_is_not_offered_returns_422() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let (held, page_escalation) =
        (fixture.hold_payment(12_000).await?, fixture.escalate_from_page(json!({})).await?);
    decide_with_answer(&fixture.approver, &held, "respond", json!("Yes"))
        .await?
        .problem(422, "decision_not_offered")?;
    decide_with_answer(&fixture.approver, &page_escalation, "edit", json!({}))
        .await?
        .problem(422, "decision_not_offered")?;
    decide(&fixture.approver, &held, "edit").await?.problem(422, "answer_required")?;
    ensure!(fixture.claim_calls().await?.is_empty(), "a decision that is not offered released the call");
    Ok(())
}
