//! Somebody of whom something is kept in every table there is.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, path};

/// A word that they say, in all that can be said.
pub const WORD: &str = "zanzibar";

/// A member of a new organisation whose agent takes clicks. Nothing is delivered but by hand.
pub async fn member(stack: &LocalStack) -> Result<TestClient> {
    stack.webhook().inspect(|webhook| webhook.cut(true));
    let member = TestClient::new(stack).await?;
    stack.raise_limits(member.user.org_id).await?;
    let tool =
        json!({ "name": "pay", "policy": "auto", "idempotent": true, "amount_pointer": "/data/amount" });
    stack.register_tool(member.user.org_id, AGENT, tool).await?;
    Ok(member)
}

/// Another one of the same organisation.
pub async fn colleague(stack: &LocalStack, of: &TestClient) -> Result<TestClient> {
    TestClient::joining(stack, of.user.org_id, OrgRole::Member).await
}

/// Lives: two sessions, one of them over, with threads at ChatKit of which one is linked, a call that is done and one that
/// waits, and whatever else there is a table for. Answers with the words by which all of it would be known again.
pub async fn live(stack: &LocalStack, person: &TestClient) -> Result<Vec<String>> {
    let mut words = vec![WORD.to_owned()];
    for ends in [true, false] {
        let key = format!("{WORD}-{}", Uuid::new_v4());
        let key = [("idempotency-key", &*key)];
        let body = json!({ "agentId": AGENT, "metadata": { "said": WORD } });
        let session = person.send(Method::POST, "/chatkit/sessions", &key, Some(body)).await?.expect(201)?;
        let door = path(&session);
        words.extend(session["id"].as_str().map(str::to_owned));
        words.extend(threads(stack, &session).await?);
        let linked = words.last().cloned();
        person.record(&door, "thread_changed", json!({ "threadId": linked })).await?.expect(201)?;
        click(person, &door).await?;
        for call in stack.claim_all().await? {
            let done = json!({
                "kind": "completed", "message": WORD, "output": { "said": WORD },
                "tasks": [{ "id": "1", "title": WORD, "status": "running" }],
            });
            stack.finish(&call, done).await?;
        }
        let ask = json!({ "reason": WORD, "decisions": ["approve", "reject"] });
        person.record(&door, "hitl_escalation", ask).await?.expect(201)?;
        if ends {
            person.cancel(&door).await?.expect(200)?;
            lease_for_retention(stack, person).await?;
        } else {
            click(person, &door).await?;
        }
    }
    let quiet = person.open().await?;
    words.extend(quiet["id"].as_str().map(str::to_owned));
    words.push(chatkit_user(stack, person).await?);
    Ok(words)
}

/// Two threads at ChatKit, of which the page tells of the last one.
async fn threads(stack: &LocalStack, session: &Value) -> Result<Vec<String>> {
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(stack.openai().say(secret, None, WORD).await?.thread_id);
    }
    Ok(ids)
}

/// A click that an agent hears of.
pub async fn click(person: &TestClient, door: &str) -> Result<()> {
    let payload = json!({ "action": WORD, "data": { "amount": 7 } });
    person.record(door, "button_click", payload).await?.expect(201)?;
    Ok(())
}

/// As somebody leaves it who was about to erase what is overdue, and it was not any more.
async fn lease_for_retention(stack: &LocalStack, person: &TestClient) -> Result<()> {
    stack.rpc("set_retention", json!({ "p_org_id": person.user.org_id, "p_keep_days": 1 })).await?;
    ended_before(stack, person, 2).await?;
    let (_, claimed) =
        stack.rpc("claim_overdue_sessions", json!({ "p_limit": 10, "p_lease_seconds": 60 })).await?;
    ensure!(claimed["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty()), "{claimed}");
    stack.rpc("set_retention", json!({ "p_org_id": person.user.org_id })).await?;
    Ok(())
}

/// Makes what has ended of a person's look as if it had ended so many days ago, and nobody were about to erase it.
pub async fn ended_before(stack: &LocalStack, person: &TestClient, days: i32) -> Result<()> {
    let aged = "begin; set local session_replication_role = replica;
        update chat_sessions set ended_at = now() - make_interval(days => {days})
        where status = 'ended' and user_id = '{user}';
        update retention_leases set lease_until = now(); commit";
    let aged = aged.replace("{days}", &days.to_string()).replace("{user}", &person.user.id.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(aged)).execute(stack.database()).await?;
    Ok(())
}

/// Under which name ChatKit knows somebody.
pub async fn chatkit_user(stack: &LocalStack, person: &TestClient) -> Result<String> {
    let query = "select chatkit_user from chatkit_users where org_id = $1 and user_id = $2";
    let name = sqlx::query_scalar(query).bind(person.user.org_id).bind(person.user.id);
    name.fetch_one(stack.database()).await.context("unknown to ChatKit")
}

/// The same person, signed in for another organisation.
pub async fn elsewhere(stack: &LocalStack, person: &TestClient) -> Result<TestClient> {
    let there = member(stack).await?;
    let mut user = person.user.clone();
    user.org_id = there.user.org_id;
    stack.put_user(&user).await?;
    Ok(TestClient::of(stack, user))
}

/// A session, and a call of an agent in it that is under way.
pub async fn calling(stack: &LocalStack, person: &TestClient) -> Result<(Uuid, Value)> {
    let session = person.open().await?;
    click(person, &path(&session)).await?;
    let mut calls = stack.claim_all().await?;
    let call = calls.pop().context("nothing to call")?;
    Ok((session["id"].as_str().context("no id")?.parse()?, call))
}
