//! `POST /chatkit/escalations/{id}/claim` and `/release`.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::escalations::{EscalationFixture, decide};

fn path(escalation: &Value, verb: &str) -> String {
    format!("/chatkit/escalations/{}/{verb}", escalation["id"].as_str().unwrap_or_default())
}

async fn claimed_by(caller: &TestClient, escalation: &Value) -> Result<Value> {
    let path = format!("/chatkit/escalations/{}", escalation["id"].as_str().context("no id")?);
    Ok(caller.get(&path).await?.expect(200)?["claimedBy"].take())
}

#[tokio::test]
async fn one_of_several_people_claims_and_the_others_learn_who() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let mut people = Vec::new();
    for _ in 0..4 {
        people.push(fixture.add_colleague(OrgRole::Approver).await?);
    }
    let claim = path(&held, "claim");
    let responses = try_join_all(people.iter().map(|person| person.post(&claim, json!({})))).await?;
    let winners: Vec<usize> = (0..people.len()).filter(|i| responses[*i].status == 200).collect();
    let [winner] = winners[..] else { anyhow::bail!("expected one claim, found {responses:#?}") };
    let body = &responses[winner].body;
    let until = &body["claimedUntil"];
    ensure!(body["claimedBy"] == json!(people[winner].user.id) && until.is_string(), "{body:#}");
    let expected = json!({
        "claimedBy": people[winner].user.id, "claimedByName": people[winner].user.email(),
        "claimedUntil": until,
    });
    for (i, response) in responses.into_iter().enumerate().filter(|(i, _)| *i != winner) {
        let problem = response.problem(409, "escalation_claimed")?;
        ensure!(problem["claim"] == expected, "expected {expected:#}, found {problem:#}");
        // A decision needs no claim, and a claim of another person is not released.
        let release = people[i].post(&path(&held, "release"), json!({})).await?;
        ensure!(release.problem(409, "escalation_claimed")?["claim"] == expected, "the release");
    }
    let loser = people.iter().enumerate().find(|(i, _)| *i != winner).context("no loser")?.1;
    let decided = decide(loser, &held, "approve").await?.expect(200)?;
    ensure!(decided["escalation"]["claimedBy"].is_null(), "a closed escalation has no claim: {decided:#}");
    people[winner].post(&path(&held, "claim"), json!({})).await?.problem(409, "escalation_resolved")?;
    Ok(())
}

#[tokio::test]
async fn claim_is_extended_by_its_holder_and_ends_with_time_or_release() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let second = fixture.add_colleague(OrgRole::Admin).await?;
    let claim = async |caller: &TestClient, body: Value| caller.post(&path(&held, "claim"), body).await;
    let first = claim(&fixture.approver, json!({ "seconds": 60 })).await?.expect(200)?;
    let longer = claim(&fixture.approver, json!({ "seconds": 3600 })).await?.expect(200)?;
    ensure!(
        longer["claimedUntil"].as_str() > first["claimedUntil"].as_str(),
        "expected a later end: {first:#}, {longer:#}"
    );
    claim(&second, json!({})).await?.problem(409, "escalation_claimed")?;
    let overdue = "update chat_escalations set claimed_until = now() - interval '1 s'";
    sqlx::query(overdue).execute(stack.database()).await?;
    ensure!(claimed_by(&second, &held).await?.is_null(), "a claim that is over is shown");
    let mine = fixture.approver.get("/chatkit/escalations?claimedBy=me").await?.expect(200)?;
    ensure!(mine["escalations"] == json!([]), "a claim that is over is listed: {mine:#}");
    claim(&second, json!({})).await?.expect(200)?;
    ensure!(claimed_by(&fixture.member, &held).await? == json!(second.user.id), "expected the second");
    for _ in 0..2 {
        let released = second.post(&path(&held, "release"), json!({})).await?.expect(200)?;
        ensure!(released["claimedBy"].is_null() && released["status"] == "open", "{released:#}");
    }
    claim(&fixture.approver, json!({})).await?.expect(200)?;
    for wrong in [json!({ "seconds": 29 }), json!({ "seconds": 3601 }), json!({ "until": "x" }), json!([])] {
        claim(&fixture.approver, wrong).await?.problem(422, "invalid_request")?;
    }
    Ok(())
}

#[tokio::test]
async fn only_people_who_may_take_every_decision_claim() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    fixture.member.post(&path(&held, "claim"), json!({})).await?.problem(403, "own_request")?;
    // The requester may decide this one.
    let own = fixture.escalate_from_page(json!({})).await?;
    fixture.member.post(&path(&own, "claim"), json!({})).await?.expect(200)?;
    let forge = stack.issuer().token_builder(&fixture.approver.user).claim("client_id", json!("app"));
    let client = fixture.approver.with_token(forge.sign());
    for verb in ["claim", "release"] {
        client.post(&path(&held, verb), json!({})).await?.problem(403, "oauth_client_forbidden")?;
    }
    fixture.member.cancel(&fixture.session).await?.expect(200)?;
    fixture.approver.post(&path(&held, "claim"), json!({})).await?.problem(409, "escalation_closed")?;
    let released = fixture.approver.post(&path(&held, "release"), json!({})).await?.expect(200)?;
    ensure!(released["status"] == "withdrawn", "expected the withdrawn escalation: {released:#}");
    Ok(())
}
