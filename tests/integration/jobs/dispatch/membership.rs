//! People who leave between the asking and the beginning of a call: what they set going does not go on.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    compare_rows, complete_calls, open_escalation, record_tool_events, register_tools, tool,
};

/// How somebody leaves.
const LEAVES: [(&str, &str); 6] = [
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

/// What does not count as leaving.
const STAYS: [(&str, &str); 3] = [
    ("nothing", "select $1::uuid"),
    ("ban_over", "update auth.users set banned_until = now() - interval '1 second' where id = $1"),
    (
        "promoted",
        "update auth.users set raw_app_meta_data = raw_app_meta_data || '{\"org_role\": \"admin\"}' where id = $1",
    ),
];

async fn change(stack: &LocalStack, what: &'static str, id: Uuid) -> Result<()> {
    sqlx::query(what).bind(id).execute(stack.database()).await.context(what)?;
    Ok(())
}

/// How far a call is when its requester leaves.
const STAGES: [&str; 3] = ["queued", "approved", "confirmed"];

#[tokio::test]
async fn departed_requester_has_no_more_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let named = |stage: &str, leave: &str| format!("{stage}_{leave}");
    let mut tools = Vec::new();
    for (leave, _) in LEAVES.iter().chain(&STAYS) {
        for (stage, policy) in STAGES.iter().zip(["auto", "ask", "confirm"]) {
            tools.push(tool(&named(stage, leave), &json!({ "policy": policy })));
        }
    }
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let mut people = Vec::new();
    for (leave, statement) in LEAVES.iter().chain(&STAYS) {
        let person = fixture.add_colleague(OrgRole::Member).await?;
        let session = person.open_path().await?;
        let held = ["approved", "confirmed"].map(|stage| named(stage, leave));
        let events = held.each_ref().map(|name| (name.as_str(), json!({})));
        record_tool_events(&person, &session, &events).await?;
        people.push((*leave, *statement, person, session));
    }
    ensure!(complete_calls(&stack).await?.is_empty(), "a held call was made");
    for (leave, statement, person, session) in &people {
        decide(
            &fixture.approver,
            &open_escalation(&stack, org_id, &named("approved", leave)).await?,
            "approve",
        )
        .await?
        .expect(200)?;
        decide(person, &open_escalation(&stack, org_id, &named("confirmed", leave)).await?, "approve")
            .await?
            .expect(200)?;
        record_tool_events(person, session, &[(&named("queued", leave), json!({}))]).await?;
        change(&stack, statement, person.user.id).await?;
    }
    let calls = complete_calls(&stack).await?;
    let gone = "
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
    for (leave, _) in LEAVES.iter().chain(&STAYS) {
        for stage in STAGES {
            let name = named(stage, leave);
            let (status, error, events): (String, Option<String>, i64) =
                sqlx::query_as(gone).bind(&name).fetch_one(stack.database()).await?;
            let called = calls.iter().filter(|call| call["tool"] == *name).count();
            let stays = STAYS.iter().any(|(stays, _)| stays == leave);
            let expected = if stays { "1 done none 0" } else { "0 withdrawn requester_gone 1" };
            let found = format!("{called} {status} {} {events}", error.as_deref().unwrap_or("none"));
            comparisons.push((name, expected.to_owned(), found));
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
    let leaves: Vec<(&str, &'static str)> = LEAVES.into_iter().chain([demoted]).collect();
    let all: Vec<(&str, &'static str)> = leaves.iter().copied().chain(STAYS).collect();
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
        change(&stack, statement, decider.user.id).await?;
    }
    let calls = complete_calls(&stack).await?;
    let called: Vec<&str> = calls.iter().filter_map(|call| call["tool"].as_str()).collect();
    ensure!(called == STAYS.map(|(name, _)| name), "{called:?} were called");
    for ((name, _), (_, held)) in leaves.iter().zip(&deciders) {
        let again = open_escalation(&stack, org_id, name).await?;
        ensure!(again["id"] != held["id"] && again["kind"] == "policy", "{name}: {again:#}");
        // The old approval is decided, and stays worth nothing.
        let old = decide(&fixture.approver, held, "approve").await?.problem(409, "escalation_resolved")?;
        ensure!(old["decision"]["decision"] == "approve", "{name}: {old:#}");
        ensure!(complete_calls(&stack).await?.is_empty(), "{name} was called");
        decide(&fixture.approver, &again, "approve").await?.expect(200)?;
        let calls = complete_calls(&stack).await?;
        ensure!(calls.len() == 1 && calls[0]["tool"] == *name, "{name}: {calls:#?}");
    }
    Ok(())
}

/// The policy demands no approval here; the agent's question does, and so does the answer to it.
#[tokio::test]
async fn answer_needs_approval_again_once_its_approver_departed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    stack.register_agent(fixture.member.user.org_id, "tax_compliance", "Tax").await?;
    let dismissed = LEAVES[0].1;
    for what in ["nothing", "decider_dismissed", "handed_over"] {
        let ask = json!({ "reason": "Which?", "decisions": ["respond"], "approver": "other" });
        let asked = fixture.ask_as_agent(ask).await?;
        let decider = fixture.add_colleague(OrgRole::Approver).await?;
        decide_with_answer(&fixture.approver, &asked, "respond", json!("4711")).await?.expect(200)?;
        let written = fixture.newest_escalation("policy").await?;
        decide(&decider, &written, "approve").await?.expect(200)?;
        match what {
            "decider_dismissed" => change(&stack, dismissed, decider.user.id).await?,
            "handed_over" => {
                let to = json!({ "agentId": "tax_compliance" });
                fixture.member.record(&fixture.session, "handover", to).await?.expect(201)?;
            }
            _ => {}
        }
        let calls = complete_calls(&stack).await?;
        ensure!(calls.len() == usize::from(what == "nothing"), "{what}: {} calls", calls.len());
        if what != "nothing" {
            let again = fixture.newest_escalation("policy").await?;
            ensure!(again["id"] != written["id"], "{what}: {again:#}");
            decide(&fixture.approver, &again, "approve").await?.problem(403, "author_may_not_decide")?;
            decide(&fixture.add_colleague(OrgRole::Owner).await?, &again, "approve").await?.expect(200)?;
            ensure!(complete_calls(&stack).await?.len() == 1, "{what}: an approved call was not made");
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
    for (leave, statement) in LEAVES {
        let person: TestClient = fixture.add_colleague(OrgRole::Owner).await?;
        let session = person.open_path().await?;
        record_tool_events(&person, &session, &[("pay", json!({}))]).await?;
        ensure!(complete_calls(&stack).await?.len() == 1, "{leave}: a colleague's payment was not made");
        change(&stack, statement, person.user.id).await?;
        for (kind, payload) in [
            ("custom_pay", json!({})),
            ("button_click", json!({ "action": "pay" })),
            ("hitl_escalation", json!({ "reason": "Now", "decisions": ["approve"] })),
            ("handover", json!({ "agentId": AGENT })),
        ] {
            let refused = person.record(&session, kind, payload).await?;
            refused.problem(403, "not_a_member").with_context(|| format!("{leave} {kind}"))?;
        }
        ensure!(complete_calls(&stack).await?.is_empty(), "{leave}: a call was made");
        let recorded =
            "select count(*) from chat_events where session_id = $1::uuid and type <> 'agent_result'";
        let recorded: i64 = sqlx::query_scalar(recorded)
            .bind(session.rsplit('/').next().unwrap_or_default())
            .fetch_one(stack.database())
            .await?;
        ensure!(recorded == 1, "{leave}: {recorded} events");
    }
    Ok(())
}
