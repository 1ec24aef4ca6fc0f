//! `mayDecide` agrees with the decision: for each state of an escalation, caller and decision.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};

const DECISIONS: [&str; 4] = ["approve", "edit", "reject", "respond"];

/// The error of a decision, for each reason.
fn code_of(because: &str) -> &str {
    match because {
        "resolved" => "escalation_resolved",
        "expired" | "withdrawn" => "escalation_closed",
        "approver_role_required" => "escalation_not_found",
        _ => because,
    }
}

/// An escalation in each state.
async fn states(fixture: &EscalationFixture<'_>) -> Result<Vec<(&'static str, Value)>> {
    let mut states = vec![("held", fixture.hold_payment(1).await?)];
    let first = fixture.hold_payment(2).await?;
    decide_with_answer(&fixture.approver, &first, "edit", json!({ "amount": 3 })).await?.expect(200)?;
    states.push(("edited", first));
    let open = fixture.approver.get("/chatkit/escalations?sort=newest").await?.expect(200)?;
    let successor = &open["escalations"][0];
    ensure!(successor["authorId"] == json!(fixture.approver.user.id), "expected a successor: {open:#}");
    states.push(("successor", successor.clone()));
    for (name, decision) in [("approved", "approve"), ("rejected", "reject")] {
        let escalation = fixture.hold_payment(4).await?;
        decide(&fixture.approver, &escalation, decision).await?.expect(200)?;
        for call in fixture.claim_calls().await? {
            fixture.stack.finish_delivery(&call, json!({ "kind": "completed" })).await?;
        }
        states.push((name, escalation));
    }
    fixture.register_pay_tool(json!({ "policy": "confirm", "risk": "low", "approver": "self" })).await?;
    states.push(("to_confirm", {
        let payload = json!({ "action": "pay", "data": { "amount": 5 } });
        fixture.member.record_event(&fixture.session, "button_click", payload).await?.expect(201)?;
        fixture.stack.claim_deliveries().await?;
        fixture.newest_escalation("confirm").await?
    }));
    states.push(("browser", fixture.escalate_from_page(json!({})).await?));
    states.push(("respond_only", fixture.escalate_from_page(json!({ "decisions": ["respond"] })).await?));
    let overdue = fixture.escalate_from_page(json!({ "reason": "overdue" })).await?;
    let closed = fixture.escalate_from_page(json!({ "reason": "closed" })).await?;
    for (escalation, status) in [(&overdue, "open"), (&closed, "expired")] {
        let update = "update chat_escalations
            set created_at = created_at - interval '60 days', expires_at = now() - interval '1 s',
                status = $2, closed_at = case $2 when 'open' then null else now() end
            where id = $1";
        let id: Uuid = escalation["id"].as_str().context("no id")?.parse()?;
        sqlx::query(update).bind(id).bind(status).execute(fixture.stack.database()).await?;
    }
    states.extend([("overdue", overdue), ("expired", closed)]);
    let session = fixture.member.open_session_path().await?;
    let payload = json!({ "reason": "r", "decisions": ["approve"] });
    fixture.member.record_event(&session, "hitl_escalation", payload).await?.expect(201)?;
    let withdrawn = fixture.newest_escalation("browser").await?;
    fixture.member.cancel(&session).await?.expect(200)?;
    states.push(("withdrawn", withdrawn));
    Ok(states)
}

/// The callers, with the database's view of them in place.
async fn callers(fixture: &EscalationFixture<'_>) -> Result<Vec<(&'static str, TestClient)>> {
    let demoted = fixture.add_colleague(OrgRole::Approver).await?;
    let dismissed = fixture.add_colleague(OrgRole::Approver).await?;
    for changed in [
        User { role: OrgRole::Member, ..demoted.user.clone() },
        User { org_id: Uuid::new_v4(), ..dismissed.user.clone() },
    ] {
        fixture.stack.upsert_user(&changed).await?;
    }
    Ok(vec![
        ("requester", TestClient::from_user(fixture.stack, fixture.member.user.clone())),
        ("approver", TestClient::from_user(fixture.stack, fixture.approver.user.clone())),
        ("second approver", fixture.add_colleague(OrgRole::Approver).await?),
        ("owner", fixture.add_colleague(OrgRole::Owner).await?),
        ("colleague", fixture.add_colleague(OrgRole::Member).await?),
        ("demoted approver", demoted),
        ("dismissed approver", dismissed),
        (
            "owner elsewhere",
            TestClient::in_organisation(fixture.stack, Uuid::new_v4(), OrgRole::Owner).await?,
        ),
    ])
}

/// Sends a decision to the RPC of the endpoint, and rolls it back. Returns the error.
async fn decision_error(
    stack: &LocalStack,
    user: &User,
    escalation: &Value,
    decision: &str,
) -> Result<Option<String>> {
    let answer = match decision {
        "edit" => json!({ "amount": 1 }),
        "respond" => json!("answer"),
        _ => Value::Null,
    };
    let mut transaction = stack.database().begin().await?;
    let call = "select public.decide_escalation($1, $2, $3, $4, $5, $6)";
    let id: Uuid = escalation["id"].as_str().context("no id")?.parse()?;
    let result = sqlx::query(call)
        .bind(user.org_id)
        .bind(user.id)
        .bind(id)
        .bind(decision)
        .bind(escalation["subjectHash"].as_str())
        .bind(answer)
        .execute(&mut *transaction)
        .await;
    transaction.rollback().await?;
    match result {
        Ok(_) => Ok(None),
        Err(sqlx::Error::Database(error)) => Ok(Some(error.message().to_owned())),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn may_decide_agrees_with_the_decision_for_every_state_and_caller() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    // An edit needs another approver.
    let callers = callers(&fixture).await?;
    let states = states(&fixture).await?;
    let (mut failures, mut reasons) = (Vec::new(), std::collections::BTreeSet::new());
    for (caller, client) in &callers {
        let all = "/chatkit/escalations?limit=100&status=open,resolved,expired,withdrawn";
        let listed = client.get(all).await?.expect(200)?["escalations"].take();
        let decidable = client.get("/chatkit/escalations?limit=100&decidable=true").await?.expect(200)?;
        let find = |list: &Value, id: &Value| {
            list.as_array().into_iter().flatten().find(|row| row["id"] == *id).cloned()
        };
        for (state, escalation) in &states {
            let path = format!("/chatkit/escalations/{}", escalation["id"].as_str().context("no id")?);
            let response = client.get(&path).await?;
            let row = find(&listed, &escalation["id"]);
            let may_decide = (response.status == 200).then(|| response.body["mayDecide"].clone());
            if row.as_ref().map(|row| row["mayDecide"].clone()) != may_decide {
                failures.push(format!("{state}, {caller}: the list differs: {row:?}, {response:?}"));
            }
            let because = may_decide.as_ref().and_then(|may| may["because"].as_str());
            let is_decidable = may_decide.is_some() && because.is_none();
            if find(&decidable["escalations"], &escalation["id"]).is_some() != is_decidable {
                failures.push(format!("{state}, {caller}: decidable=true differs from {may_decide:?}"));
            }
            reasons.extend(because.map(str::to_owned));
            for decision in DECISIONS {
                let error = decision_error(&stack, &client.user, escalation, decision).await?;
                let offered = escalation["decisions"].as_array().context("no decisions")?;
                let is_offered = offered.contains(&json!(decision));
                let agrees = match (&may_decide, &error) {
                    (None, error) => {
                        ["escalation_not_found", "not_a_member"].contains(&error.as_deref().unwrap_or(""))
                    }
                    (Some(may), None) => {
                        // The repetition of a decision by the same person is answered as recorded.
                        let is_repeated = response.body["decidedBy"] == json!(client.user.id)
                            && response.body["decision"] == decision;
                        is_repeated
                            || may["decisions"].as_array().context("no list")?.contains(&json!(decision))
                    }
                    (Some(may), Some(error)) => {
                        !may["decisions"].as_array().context("no list")?.contains(&json!(decision))
                            && (because.is_some_and(|because| code_of(because) == error)
                                || (!is_offered && error == "decision_not_offered"))
                    }
                };
                if !agrees {
                    failures.push(format!("{state}, {caller}, {decision}: {may_decide:?}, but {error:?}"));
                }
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let expected = [
        "approver_role_required",
        "author_may_not_decide",
        "expired",
        "not_a_member",
        "own_request",
        "requester_must_confirm",
        "resolved",
        "withdrawn",
    ];
    ensure!(reasons.iter().eq(expected), "expected every reason, found {reasons:?}");
    Ok(())
}

#[tokio::test]
async fn may_decide_applies_the_rules_about_tokens() -> Result<()> {
    let stack = LocalStack::builder().env("REQUIRE_AAL2_TO_DECIDE", "true").start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    let path = format!("/chatkit/escalations/{}", held["id"].as_str().context("no id")?);
    let forge = || stack.issuer().token_builder(&fixture.approver.user);
    for (token, because) in [
        (forge().claim("aal", json!("aal1")).sign(), json!("step_up_required")),
        (forge().claim("aal", json!("aal2")).sign(), Value::Null),
        (
            forge().claim("aal", json!("aal2")).claim("client_id", json!("app")).sign(),
            json!("oauth_client_forbidden"),
        ),
    ] {
        let client = fixture.approver.with_token(token);
        let decisions = if because.is_null() { json!(["approve", "edit", "reject"]) } else { json!([]) };
        let expected = json!({ "decisions": decisions, "because": because });
        let found = client.get(&path).await?.expect(200)?["mayDecide"].take();
        ensure!(found == expected, "get: expected {expected}, found {found}");
        let listed = client.get("/chatkit/escalations").await?.expect(200)?;
        let found = &listed["escalations"][0]["mayDecide"];
        ensure!(*found == expected, "list: expected {expected}, found {found}");
        let session = client.get(&format!("{}?include=none", fixture.session)).await?.expect(200)?;
        let found = &session["escalations"][0]["mayDecide"];
        ensure!(*found == expected, "session: expected {expected}, found {found}");
        let decidable = client.get("/chatkit/escalations?decidable=true").await?.expect(200)?;
        let count = decidable["escalations"].as_array().map_or(0, Vec::len);
        ensure!(count == usize::from(because.is_null()), "decidable: {because}, found {count}");
        if let Some(code) = because.as_str() {
            decide(&client, &held, "approve").await?.problem(403, code)?;
            client.post(&format!("{path}/claim"), json!({})).await?.problem(403, code)?;
        }
    }
    Ok(())
}
