//! Users who leave the organisation between the request and the start of a call.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::AGENT;
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    compare_rows, complete_calls, open_escalation, record_tool_events, register_tools, tool,
};

/// Changes that end a membership.
const DEPARTURES: [(&str, &str); 6] = [
    ("dismissed", "update auth.users set raw_app_meta_data = raw_app_meta_data - 'org_id' where id = $1"),
    ("banned", "update auth.users set banned_until = now() + interval '1 day' where id = $1"),
    ("deleted", "update auth.users set deleted_at = now() where id = $1"),
    ("removed", "delete from auth.users where id = $1"),
    ("anonymous", "update auth.users set is_anonymous = true where id = $1"),
    (
        "moved",
        "update auth.users set raw_app_meta_data = raw_app_meta_data || '{\"org_id\": \"00000000-0000-4000-8000-000000000001\"}' where id = $1",
    ),
];

/// Changes that do not end a membership.
const NON_DEPARTURES: [(&str, &str); 3] = [
    ("nothing", "select $1::uuid"),
    ("ban_over", "update auth.users set banned_until = now() - interval '1 second' where id = $1"),
    (
        "promoted",
        "update auth.users set raw_app_meta_data = raw_app_meta_data || '{\"org_role\": \"admin\"}' where id = $1",
    ),
];

/// Progress of a call when its requester leaves.
const PROGRESS: [&str; 3] = ["queued", "approved", "confirmed"];

#[tokio::test]
async fn departed_requester_has_no_more_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let tool_name = |progress: &str, departure: &str| format!("{progress}_{departure}");
    let mut tools = Vec::new();
    for (departure, _) in DEPARTURES.iter().chain(&NON_DEPARTURES) {
        for (progress, policy) in PROGRESS.iter().zip(["auto", "ask", "confirm"]) {
            tools.push(tool(&tool_name(progress, departure), &json!({ "policy": policy })));
        }
    }
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let mut users = Vec::new();
    for (departure, statement) in DEPARTURES.iter().chain(&NON_DEPARTURES) {
        let user = fixture.add_colleague(OrgRole::Member).await?;
        let session = user.open_session_path().await?;
        let held = ["approved", "confirmed"].map(|progress| tool_name(progress, departure));
        let events = held.each_ref().map(|name| (name.as_str(), json!({})));
        record_tool_events(&user, &session, &events).await?;
        users.push((*departure, *statement, user, session));
    }
    ensure!(complete_calls(&stack).await?.is_empty(), "a held call was made");
    for (departure, statement, user, session) in &users {
        decide(
            &fixture.approver,
            &open_escalation(&stack, org_id, &tool_name("approved", departure)).await?,
            "approve",
        )
        .await?
        .expect(200)?;
        decide(user, &open_escalation(&stack, org_id, &tool_name("confirmed", departure)).await?, "approve")
            .await?
            .expect(200)?;
        record_tool_events(user, session, &[(&tool_name("queued", departure), json!({}))]).await?;
        change_user(&stack, statement, user.user.id).await?;
    }
    let calls = complete_calls(&stack).await?;
    let query = "
        select d.status, d.error, count(e.id)
        from deliveries as d
        left join chat_events as e
          on e.session_id = d.session_id and e.type = 'agent_failed' and e.payload ->> 'deliveryId' = d.id::text
            and e.payload ->> 'error' = 'requester_gone' and e.actor_type = 'system'
        where d.tool = $1
        group by d.id
        order by d.created_at desc
        limit 1";
    let mut comparisons = Vec::new();
    for (departure, _) in DEPARTURES.iter().chain(&NON_DEPARTURES) {
        for progress in PROGRESS {
            let name = tool_name(progress, departure);
            let (status, error, events): (String, Option<String>, i64) =
                sqlx::query_as(query).bind(&name).fetch_one(stack.database()).await?;
            let called = calls.iter().filter(|call| call["tool"] == *name).count();
            let is_member = NON_DEPARTURES.iter().any(|(name, _)| name == departure);
            let expected = if is_member { "1 done none 0" } else { "0 withdrawn requester_gone 1" };
            let actual = format!("{called} {status} {} {events}", error.as_deref().unwrap_or("none"));
            comparisons.push((name, expected.to_owned(), actual));
        }
    }
    compare_rows(comparisons)
}

#[tokio::test]
async fn approval_is_void_once_the_approver_departed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let demoted =
        ("demoted", "update auth.users set raw_app_meta_data = raw_app_meta_data - 'org_role' where id = $1");
    let departures: Vec<(&str, &'static str)> = DEPARTURES.into_iter().chain([demoted]).collect();
    let all: Vec<(&str, &'static str)> = departures.iter().copied().chain(NON_DEPARTURES).collect();
    let tools: Vec<Value> = all.iter().map(|(name, _)| tool(name, &json!({ "policy": "ask" }))).collect();
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let events: Vec<(&str, Value)> = all.iter().map(|(name, _)| (*name, json!({}))).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    ensure!(complete_calls(&stack).await?.is_empty(), "a held call was made");
    let mut deciders = Vec::new();
    for (name, _) in &all {
        let decider = fixture.add_colleague(OrgRole::Approver).await?;
        let held = open_escalation(&stack, org_id, name).await?;
        decide(&decider, &held, "approve").await?.expect(200)?;
        deciders.push((decider, held));
    }
    for ((_, statement), (decider, _)) in all.iter().zip(&deciders) {
        change_user(&stack, statement, decider.user.id).await?;
    }
    let calls = complete_calls(&stack).await?;
    let called: Vec<&str> = calls.iter().filter_map(|call| call["tool"].as_str()).collect();
    ensure!(
        called == NON_DEPARTURES.map(|(name, _)| name),
        "expected calls of {NON_DEPARTURES:?}, found {called:?}"
    );
    for ((name, _), (_, held)) in departures.iter().zip(&deciders) {
        let again = open_escalation(&stack, org_id, name).await?;
        ensure!(
            again["id"] != held["id"] && again["kind"] == "policy",
            "{name}: expected a new escalation: {again:#}"
        );
        // The old escalation remains resolved, and its approval releases nothing.
        let old = decide(&fixture.approver, held, "approve").await?.problem(409, "escalation_resolved")?;
        ensure!(old["decision"]["decision"] == "approve", "{name}: expected the old approval: {old:#}");
        ensure!(complete_calls(&stack).await?.is_empty(), "{name}: a call was made without a new approval");
        decide(&fixture.approver, &again, "approve").await?.expect(200)?;
        let calls = complete_calls(&stack).await?;
        ensure!(
            calls.len() == 1 && calls[0]["tool"] == *name,
            "{name}: expected the approved call: {calls:#?}"
        );
    }
    Ok(())
}

/// The policy does not require an approval, but the question of the agent and its answer do.
#[tokio::test]
async fn answer_needs_approval_again_once_its_approver_departed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    stack.register_agent(fixture.member.user.org_id, "tax_compliance", "Tax").await?;
    let dismiss = DEPARTURES[0].1;
    for change in ["nothing", "decider_dismissed", "handed_over"] {
        let ask = json!({ "reason": "Which?", "decisions": ["respond"], "approver": "other" });
        let question = fixture.ask_as_agent(ask).await?;
        let decider = fixture.add_colleague(OrgRole::Approver).await?;
        decide_with_answer(&fixture.approver, &question, "respond", json!("4711")).await?.expect(200)?;
        let successor = fixture.newest_escalation("policy").await?;
        decide(&decider, &successor, "approve").await?.expect(200)?;
        match change {
            "decider_dismissed" => change_user(&stack, dismiss, decider.user.id).await?,
            "handed_over" => {
                let to = json!({ "agentId": "tax_compliance" });
                fixture.member.record_event(&fixture.session, "handover", to).await?.expect(201)?;
            }
            _ => {}
        }
        let calls = complete_calls(&stack).await?;
        ensure!(
            calls.len() == usize::from(change == "nothing"),
            "{change}: unexpected number of calls: {}",
            calls.len()
        );
        if change != "nothing" {
            let again = fixture.newest_escalation("policy").await?;
            ensure!(again["id"] != successor["id"], "{change}: expected a new escalation: {again:#}");
            decide(&fixture.approver, &again, "approve").await?.problem(403, "author_may_not_decide")?;
            decide(&fixture.add_colleague(OrgRole::Owner).await?, &again, "approve").await?.expect(200)?;
            ensure!(complete_calls(&stack).await?.len() == 1, "{change}: expected the approved call");
        }
    }
    Ok(())
}

#[tokio::test]
async fn departed_user_cannot_record_events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    register_tools(&stack, org_id, AGENT, &[tool("pay", &json!({ "policy": "auto" }))], &[]).await?;
    for (departure, statement) in DEPARTURES {
        let user = fixture.add_colleague(OrgRole::Owner).await?;
        let session = user.open_session_path().await?;
        record_tool_events(&user, &session, &[("pay", json!({}))]).await?;
        ensure!(complete_calls(&stack).await?.len() == 1, "{departure}: expected the call of a member");
        change_user(&stack, statement, user.user.id).await?;
        for (event_type, payload) in [
            ("custom_pay", json!({})),
            ("button_click", json!({ "action": "pay" })),
            ("hitl_escalation", json!({ "reason": "Now", "decisions": ["approve"] })),
            ("handover", json!({ "agentId": AGENT })),
        ] {
            let response = user.record_event(&session, event_type, payload).await?;
            response.problem(403, "not_a_member").with_context(|| format!("{departure} {event_type}"))?;
        }
        ensure!(complete_calls(&stack).await?.is_empty(), "{departure}: a call was made");
        let recorded =
            "select count(*) from chat_events where session_id = $1::uuid and type <> 'agent_result'";
        let recorded: i64 = sqlx::query_scalar(recorded)
            .bind(session.rsplit('/').next().unwrap_or_default())
            .fetch_one(stack.database())
            .await?;
        ensure!(recorded == 1, "{departure}: expected one event, found {recorded}");
    }
    Ok(())
}

async fn change_user(stack: &LocalStack, statement: &'static str, id: Uuid) -> Result<()> {
    sqlx::query(statement).bind(id).execute(stack.database()).await.context(statement)?;
    Ok(())
}
