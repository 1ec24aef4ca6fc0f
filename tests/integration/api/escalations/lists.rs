//! Filters, orders and pages of `GET /chatkit/escalations`.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{EscalationFixture, decide};

/// The ids of all pages, and the number of pages.
async fn ids(caller: &TestClient, query: &str) -> Result<(Vec<Value>, usize)> {
    let (mut ids, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = caller.get(&format!("/chatkit/escalations?{query}{cursor}")).await?.expect(200)?;
        let list = page["escalations"].as_array().context("no list")?;
        ids.extend(list.iter().map(|escalation| escalation["id"].clone()));
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok((ids, pages)),
        }
    }
}

#[tokio::test]
async fn filters_select_and_orders_sort_with_any_page_size() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({ "risk": "medium" })).await?;
    let held = fixture.hold_payment(1).await?;
    let soon = fixture.escalate_from_page(json!({ "expiresInSeconds": 60 })).await?;
    let late = fixture.escalate_from_page(json!({})).await?;
    let rejected = fixture.hold_payment(2).await?;
    decide(&fixture.approver, &rejected, "reject").await?.expect(200)?;
    let session = fixture.member.open_session_path().await?;
    let payload = json!({ "reason": "r", "decisions": ["approve"] });
    fixture.member.record_event(&session, "hitl_escalation", payload).await?.expect(201)?;
    let withdrawn = fixture.newest_escalation("browser").await?;
    fixture.member.cancel(&session).await?.expect(200)?;
    let claim = format!("/chatkit/escalations/{}/claim", late["id"].as_str().context("no id")?);
    fixture.approver.post(&claim, json!({})).await?.expect(200)?;

    let of_session = session.rsplit('/').next().context("no id")?;
    let agent = format!("agentId={AGENT}");
    let session_filter = format!("sessionId={of_session}&status=open,withdrawn");
    for (query, expected) in [
        ("", vec![&held, &soon, &late]),
        ("status=open", vec![&held, &soon, &late]),
        ("sort=newest", vec![&late, &soon, &held]),
        ("sort=expiry", vec![&soon, &held, &late]),
        ("status=resolved", vec![&rejected]),
        ("status=expired", vec![]),
        ("status=withdrawn,resolved", vec![&rejected, &withdrawn]),
        (
            "status=open,resolved,expired,withdrawn&sort=newest",
            vec![&withdrawn, &rejected, &late, &soon, &held],
        ),
        ("tool=pay", vec![&held]),
        ("tool=refund", vec![]),
        (agent.as_str(), vec![&held]),
        ("risk=low", vec![&soon, &late]),
        ("risk=medium&status=open,resolved", vec![&held, &rejected]),
        (session_filter.as_str(), vec![&withdrawn]),
        ("claimedBy=me", vec![&late]),
        ("decidable=true", vec![&held, &soon, &late]),
        ("decidable=true&risk=medium", vec![&held]),
    ] {
        let expected: Vec<Value> = expected.iter().map(|escalation| escalation["id"].clone()).collect();
        for limit in ["", "limit=1", "limit=2"] {
            let query = [query, limit].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
            let (found, _) = ids(&fixture.approver, &query.join("&")).await?;
            ensure!(found == expected, "{query:?}: expected {expected:?}, found {found:?}");
        }
    }
    let (own, _) = ids(&fixture.member, "decidable=true").await?;
    ensure!(own == [soon["id"].clone(), late["id"].clone()], "the requester may not approve: {own:?}");
    let (claimed, _) = ids(&fixture.member, "claimedBy=me").await?;
    ensure!(claimed.is_empty(), "the requester has claimed nothing: {claimed:?}");
    Ok(())
}

#[tokio::test]
async fn cursor_of_another_order_and_expiry_of_closed_ones_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    for _ in 0..2 {
        fixture.escalate_from_page(json!({})).await?;
    }
    let page = fixture.member.get("/chatkit/escalations?limit=1&sort=newest").await?.expect(200)?;
    let cursor = page["nextCursor"].as_str().context("no cursor")?;
    for sort in ["waiting", "expiry"] {
        let path = format!("/chatkit/escalations?sort={sort}&cursor={cursor}");
        let problem = fixture.member.get(&path).await?.problem(422, "invalid_request")?;
        ensure!(problem["errors"][0]["pointer"] == "cursor", "{problem:#}");
    }
    let path = "/chatkit/escalations?sort=expiry&status=open,expired";
    let problem = fixture.member.get(path).await?.problem(422, "invalid_request")?;
    ensure!(problem["errors"][0]["pointer"] == "sort", "{problem:#}");
    Ok(())
}

/// A filter that few rows meet does not make one request read a whole table.
#[tokio::test]
async fn one_request_examines_at_most_2000_escalations() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let held = fixture.hold_payment(1).await?;
    super::plans::insert_escalations(&stack, 4_500, "open", "refund").await?;
    let last = "update chat_escalations set created_at = now() + interval '1 day',
        expires_at = now() + interval '2 days' where tool = 'pay'";
    sqlx::query(last).execute(stack.database()).await?;
    let (found, pages) = ids(&fixture.approver, "tool=pay").await?;
    ensure!(found == [held["id"].clone()], "expected the payment, found {found:?}");
    ensure!(pages == 3, "expected three requests for 4,501 escalations, found {pages}");
    Ok(())
}
