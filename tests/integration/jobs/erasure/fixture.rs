//! Somebody of whom something is kept in every table there is.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::World;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, Caller, path};

/// A word that they say, in all that can be said.
pub const WORD: &str = "zanzibar";

/// A member of a new organisation whose agent takes clicks. Nothing is delivered but by hand.
pub async fn member(world: &World) -> Result<Caller> {
    world.webhook().inspect(|webhook| webhook.cut(true));
    let member = Caller::new(world).await?;
    world.lift_limits(member.user.org_id).await?;
    let tool =
        json!({ "name": "pay", "policy": "auto", "idempotent": true, "amount_pointer": "/data/amount" });
    world.register_tool(member.user.org_id, AGENT, tool).await?;
    Ok(member)
}

/// Another one of the same organisation.
pub async fn colleague(world: &World, of: &Caller) -> Result<Caller> {
    Caller::joining(world, of.user.org_id, OrgRole::Member).await
}

/// Lives: two sessions, one of them over, with threads at ChatKit of which one is linked, a call that is done and one that
/// waits, and whatever else there is a table for. Answers with the words by which all of it would be known again.
pub async fn live(world: &World, person: &Caller) -> Result<Vec<String>> {
    let mut words = vec![WORD.to_owned()];
    for ends in [true, false] {
        let key = format!("{WORD}-{}", Uuid::new_v4());
        let key = [("idempotency-key", &*key)];
        let body = json!({ "agentId": AGENT, "metadata": { "said": WORD } });
        let session = person.send(Method::POST, "/chatkit/sessions", &key, Some(body)).await?.expect(201)?;
        let door = path(&session);
        words.extend(session["id"].as_str().map(str::to_owned));
        words.extend(threads(world, &session).await?);
        let linked = words.last().cloned();
        person.record(&door, "thread_changed", json!({ "threadId": linked })).await?.expect(201)?;
        click(person, &door).await?;
        for call in world.claim_all().await? {
            let done = json!({
                "kind": "completed", "message": WORD, "output": { "said": WORD },
                "tasks": [{ "id": "1", "title": WORD, "status": "running" }],
            });
            world.finish(&call, done).await?;
        }
        let ask = json!({ "reason": WORD, "decisions": ["approve", "reject"] });
        person.record(&door, "hitl_escalation", ask).await?.expect(201)?;
        if ends {
            person.cancel(&door).await?.expect(200)?;
            lease_for_retention(world, person).await?;
        } else {
            click(person, &door).await?;
        }
    }
    let quiet = person.open().await?;
    words.extend(quiet["id"].as_str().map(str::to_owned));
    words.push(chatkit_user(world, person).await?);
    Ok(words)
}

/// Two threads at ChatKit, of which the page tells of the last one.
async fn threads(world: &World, session: &Value) -> Result<Vec<String>> {
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(world.chatkit().say(secret, None, WORD).await?.thread_id);
    }
    Ok(ids)
}

/// A click that an agent hears of.
pub async fn click(person: &Caller, door: &str) -> Result<()> {
    let payload = json!({ "action": WORD, "data": { "amount": 7 } });
    person.record(door, "button_click", payload).await?.expect(201)?;
    Ok(())
}

/// As somebody leaves it who was about to erase what is overdue, and it was not any more.
async fn lease_for_retention(world: &World, person: &Caller) -> Result<()> {
    world.rpc("set_retention", json!({ "p_org_id": person.user.org_id, "p_keep_days": 1 })).await?;
    ended_before(world, person, 2).await?;
    let (_, claimed) =
        world.rpc("claim_overdue_sessions", json!({ "p_limit": 10, "p_lease_seconds": 60 })).await?;
    ensure!(claimed["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty()), "{claimed}");
    world.rpc("set_retention", json!({ "p_org_id": person.user.org_id })).await?;
    Ok(())
}

/// Makes what has ended of a person's look as if it had ended so many days ago, and nobody were about to erase it.
pub async fn ended_before(world: &World, person: &Caller, days: i32) -> Result<()> {
    let aged = "begin; set local session_replication_role = replica;
        update chat_sessions set ended_at = now() - make_interval(days => {days})
        where status = 'ended' and user_id = '{user}';
        update retention_leases set lease_until = now(); commit";
    let aged = aged.replace("{days}", &days.to_string()).replace("{user}", &person.user.id.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(aged)).execute(world.database()).await?;
    Ok(())
}

/// Under which name ChatKit knows somebody.
pub async fn chatkit_user(world: &World, person: &Caller) -> Result<String> {
    let query = "select chatkit_user from chatkit_users where org_id = $1 and user_id = $2";
    let name = sqlx::query_scalar(query).bind(person.user.org_id).bind(person.user.id);
    name.fetch_one(world.database()).await.context("unknown to ChatKit")
}

/// The same person, signed in for another organisation.
pub async fn elsewhere(world: &World, person: &Caller) -> Result<Caller> {
    let there = member(world).await?;
    let mut user = person.user.clone();
    user.org_id = there.user.org_id;
    world.put_user(&user).await?;
    Ok(Caller::of(world, user))
}

/// A session, and a call of an agent in it that is under way.
pub async fn calling(world: &World, person: &Caller) -> Result<(Uuid, Value)> {
    let session = person.open().await?;
    click(person, &path(&session)).await?;
    let mut calls = world.claim_all().await?;
    let call = calls.pop().context("nothing to call")?;
    Ok((session["id"].as_str().context("no id")?.parse()?, call))
}
