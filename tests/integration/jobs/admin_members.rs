//! `cargo admin members`, `agents list` and `servers list`, and the RPCs behind them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::admin_command::{AdminCommand, text};
use crate::support::client::{AGENT, TestClient};

#[tokio::test]
async fn roles_are_set_listed_and_removed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org = Uuid::new_v4();
    let owner = stack.add_user(org, OrgRole::Owner).await?;
    let stranger = stack.add_user(Uuid::new_v4(), OrgRole::Owner).await?;
    let member = add_user_without_organisation(&stack).await?;
    stack.name_user(&member, "Ada").await?;
    let admin = AdminCommand::new(&stack).await?;
    let (user, other) = (member.id, stranger.id);

    let added = admin.json(&format!("members set-role {user} member --org {org}")).await?;
    ensure!(added == json!({ "user_id": user, "role": "member", "previous_role": null }), "{added}");
    let raised = admin.json(&format!("members set-role {user} approver --org {org}")).await?;
    ensure!(raised["previous_role"] == "member", "{raised}");
    let listed = admin.json(&format!("members list --org {org}")).await?;
    let roles: BTreeMap<&str, &str> = listed["members"]
        .as_array()
        .context("no members")?
        .iter()
        .filter_map(|one| Some((one["user_id"].as_str()?, one["role"].as_str()?)))
        .collect();
    let (owner_id, user_id) = (owner.id.to_string(), user.to_string());
    let expected = BTreeMap::from([(owner_id.as_str(), "owner"), (user_id.as_str(), "approver")]);
    ensure!(roles == expected, "expected {expected:?}, found {listed:#}");
    let shown = text(&admin.run(&format!("members list --org {org}")).await?);
    ensure!(shown.contains("approver  active  Ada") && !shown.contains(&other.to_string()), "{shown}");

    // A user of another organisation is neither added nor removed.
    let refused = admin.run(&format!("members set-role {other} admin --org {org}")).await?;
    ensure!(refused.status.code() == Some(1), "{}", text(&refused));
    ensure!(text(&refused).starts_with("member_of_other_organisation: "), "{}", text(&refused));
    let unchanged = admin.json(&format!("members remove {other} --org {org} --yes")).await?;
    ensure!(unchanged["previous_role"].is_null(), "{unchanged}");
    ensure!(app_metadata(&stack, other).await? == stranger.app_metadata(), "another organisation's member");

    let removed = admin.json(&format!("members remove {user} --org {org} --yes")).await?;
    ensure!(removed["previous_role"] == "approver", "{removed}");
    let metadata = app_metadata(&stack, user).await?;
    ensure!(metadata == json!({ "provider": "email", "name": "Ada" }), "{metadata}");
    let again = admin.json(&format!("members remove {user} --org {org} --yes")).await?;
    ensure!(again["previous_role"].is_null(), "{again}");
    let unknown = admin.run(&format!("members set-role {org} member --org {org}")).await?;
    ensure!(text(&unknown).starts_with("user_not_found: "), "{}", text(&unknown));
    let invalid = admin.run(&format!("members set-role {user} boss --org {org}")).await?;
    ensure!(invalid.status.code() == Some(2) && text(&invalid).contains("approver"), "{}", text(&invalid));
    Ok(())
}

#[tokio::test]
async fn removed_member_cannot_open_a_session_and_keeps_their_data() -> Result<()> {
    let stack = LocalStack::start().await?;
    let client = TestClient::new(&stack).await?;
    client.open_session().await?;
    let admin = AdminCommand::new(&stack).await?;
    let (user, org) = (client.user.id, client.user.org_id);
    admin.json(&format!("members remove {user} --org {org} --yes")).await?;
    let opened = client.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    opened.problem(403, "not_a_member")?;
    let erased = format!("users erase {user} --org {org} --requested-by ops-1 --reason test --yes");
    let erased = admin.json(&erased).await?;
    ensure!(erased["counts"]["sessions"] == 1, "a former member is erased as any user: {erased}");
    Ok(())
}

#[tokio::test]
async fn lower_role_and_removal_need_a_confirmation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org = Uuid::new_v4();
    stack.add_user(org, OrgRole::Owner).await?;
    let approver = stack.add_user(org, OrgRole::Approver).await?;
    let admin = AdminCommand::new(&stack).await?;
    let user = approver.id;
    for command in [format!("members set-role {user} member"), format!("members remove {user}")] {
        let refused = admin.run(&format!("{command} --org {org}")).await?;
        let message = text(&refused);
        ensure!(refused.status.code() == Some(2) && message.contains("--yes"), "{command}: {message}");
        ensure!(message.contains("approver"), "the question names the role: {message}");
        ensure!(app_metadata(&stack, user).await? == approver.app_metadata(), "{command} had an effect");
    }
    for role in ["approver", "admin", "owner"] {
        admin.json(&format!("members set-role {user} {role} --org {org}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn last_owner_is_neither_removed_nor_lowered() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org = Uuid::new_v4();
    let owner = stack.add_user(org, OrgRole::Owner).await?;
    let banned = stack.add_user(org, OrgRole::Owner).await?;
    stack.add_user(org, OrgRole::Admin).await?;
    stack.add_user(Uuid::new_v4(), OrgRole::Owner).await?;
    let ban = "update auth.users set banned_until = now() + interval '1 day' where id = $1";
    sqlx::query(ban).bind(banned.id).execute(stack.database()).await?;
    let admin = AdminCommand::new(&stack).await?;
    let user = owner.id;
    for command in [format!("members set-role {user} admin"), format!("members remove {user}")] {
        let refused = admin.run(&format!("{command} --org {org} --yes")).await?;
        ensure!(refused.status.code() == Some(1), "{command}: {}", text(&refused));
        ensure!(text(&refused).starts_with("last_owner: "), "{command}: {}", text(&refused));
    }
    ensure!(app_metadata(&stack, user).await? == owner.app_metadata(), "the last owner has changed");
    admin.json(&format!("members set-role {user} owner --org {org}")).await?;
    Ok(())
}

/// Each of two owners may go while the other one is there.
#[tokio::test]
async fn of_two_owners_removed_at_once_one_stays() -> Result<()> {
    let stack = LocalStack::start().await?;
    for round in 0..10 {
        let org = Uuid::new_v4();
        let owners = [stack.add_user(org, OrgRole::Owner).await?, stack.add_user(org, OrgRole::Owner).await?];
        let calls = owners.iter().enumerate().map(|(number, owner)| {
            let arguments = json!({ "p_org_id": org, "p_user_id": owner.id });
            let demotion = json!({ "p_org_id": org, "p_user_id": owner.id, "p_role": "member" });
            if (number + round) % 2 == 0 {
                stack.rpc("remove_member", arguments)
            } else {
                stack.rpc("set_member_role", demotion)
            }
        });
        let answers: Vec<(StatusCode, Value)> = join_all(calls).await.into_iter().collect::<Result<_>>()?;
        let done = answers.iter().filter(|(status, _)| status.is_success()).count();
        let refused = answers.iter().filter(|(_, answer)| answer["message"] == "last_owner").count();
        ensure!((done, refused) == (1, 1), "round {round}: {answers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn pages_of_members_continue_after_the_last_one() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org = Uuid::new_v4();
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(stack.add_user(org, OrgRole::Member).await?.id);
    }
    expected.sort();
    let (mut found, mut after) = (Vec::new(), Value::Null);
    for page in [2, 2, 1] {
        let mut arguments = json!({ "p_org_id": org, "p_limit": 2 });
        if !after.is_null() {
            arguments["p_after"] = after;
        }
        let (status, answer) = stack.rpc("list_members", arguments).await?;
        ensure!(status.is_success(), "{answer}");
        let members = answer["members"].as_array().context("no members")?;
        ensure!(members.len() == page, "expected {page} members, found {answer:#}");
        for member in members {
            found.push(member["user_id"].as_str().context("no id")?.parse::<Uuid>()?);
        }
        after = answer["next"].clone();
    }
    ensure!(after.is_null(), "there is a page after the last one: {after}");
    ensure!(found == expected, "expected {expected:?}, found {found:?}");
    Ok(())
}

#[tokio::test]
async fn registrations_are_listed_without_long_texts() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org = Uuid::new_v4();
    for number in 0..120 {
        let agent = json!({
            "p_org_id": org, "p_agent_id": format!("agent_{number:03}"), "p_display_name": "Agent",
            "p_description": "", "p_model": "gpt-5-mini", "p_instructions": "c4n4ry instructions",
        });
        let (status, answer) = stack.rpc("register_agent", agent).await?;
        ensure!(status.is_success(), "{answer}");
    }
    let tool = json!({ "name": "pay", "description": "c4n4ry", "input_schema": { "type": "object" } });
    let server = json!({
        "p_org_id": org, "p_agent_id": "agent_110", "p_url": "https://a.example/mcp",
        "p_credential": "erp", "p_tools": [tool], "p_routes": [{ "tool": "pay", "event_type": "click" }],
    });
    let (status, answer) = stack.rpc("register_agent_server", server).await?;
    ensure!(status.is_success(), "{answer}");
    stack.register_agent(Uuid::new_v4(), "elsewhere", "Elsewhere").await?;

    let admin = AdminCommand::new(&stack).await?;
    let agents = admin.json(&format!("agents list --org {org}")).await?;
    let list = agents["agents"].as_array().context("no agents")?;
    ensure!(list.len() == 120, "expected both pages, found {} agents", list.len());
    ensure!(list[110]["server"]["tools"][0]["name"] == "pay", "{}", list[110]);
    ensure!(!agents.to_string().contains("c4n4ry"), "a long text is listed: {agents}");
    let servers = admin.json(&format!("servers list --org {org}")).await?;
    let list = servers["servers"].as_array().context("no servers")?;
    ensure!(list.len() == 1 && list[0]["agent_id"] == "agent_110", "{servers:#}");
    ensure!(list[0]["credential"] == "erp", "{servers:#}");
    let shown = text(&admin.run(&format!("agents list --org {org}")).await?);
    ensure!(shown.lines().count() == 121 && !shown.contains("elsewhere"), "{shown}");
    let shown = text(&admin.run(&format!("servers list --org {org}")).await?);
    ensure!(shown.contains("pay  ask; click") && shown.contains("credential erp"), "{shown}");
    Ok(())
}

/// A user who has signed up, and whom no operator has added to an organisation.
async fn add_user_without_organisation(stack: &LocalStack) -> Result<User> {
    let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
    let remove = "update auth.users set raw_app_meta_data = '{\"provider\": \"email\"}' where id = $1";
    sqlx::query(remove).bind(user.id).execute(stack.database()).await?;
    Ok(user)
}

async fn app_metadata(stack: &LocalStack, user_id: Uuid) -> Result<Value> {
    let metadata = sqlx::query_scalar("select raw_app_meta_data from auth.users where id = $1");
    Ok(metadata.bind(user_id).fetch_one(stack.database()).await?)
}
