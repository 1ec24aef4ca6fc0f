//! Authorization of threads: only the thread's user, with a live client secret, while they may open
//! the agent.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::{ChatClient, ThreadView, message};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixture::{ChatPage, register_agent, text};
use crate::support::client::{AGENT, TestClient};

/// Every request that names a thread.
fn requests_of_a_thread(thread_id: &str, item_id: &str) -> Vec<(&'static str, Value)> {
    let with = |rest: Value| {
        let mut params = json!({ "thread_id": thread_id });
        params.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        params
    };
    let action = json!({ "type": "pay" });
    vec![
        ("threads.add_user_message", with(json!({ "input": message("Hello") }))),
        ("threads.add_client_tool_output", with(json!({ "result": {} }))),
        (
            "threads.add_structured_input",
            with(json!({ "item_id": item_id, "input": { "status": "skipped" } })),
        ),
        ("threads.custom_action", with(json!({ "action": action }))),
        ("threads.custom_action", with(json!({ "item_id": item_id, "action": action }))),
        ("threads.sync_custom_action", with(json!({ "action": action }))),
        ("threads.retry_after_item", with(json!({ "item_id": item_id }))),
        ("threads.get_by_id", with(json!({}))),
        ("threads.update", with(json!({ "title": "x" }))),
        ("threads.delete", with(json!({}))),
        ("items.list", with(json!({}))),
        ("items.feedback", with(json!({ "item_ids": [item_id], "kind": "negative" }))),
    ]
}

/// Requests that name no thread.
fn other_requests() -> Vec<(&'static str, Value)> {
    vec![
        ("threads.create", json!({ "input": message("Hello") })),
        ("threads.list", json!({})),
        ("attachments.create", json!({ "name": "a", "size": 1, "mime_type": "text/plain" })),
        ("attachments.delete", json!({ "attachment_id": "atc_1" })),
        ("input.transcribe", json!({ "audio_base64": "AA==", "mime_type": "audio/webm" })),
    ]
}

#[tokio::test]
async fn threads_of_others_are_not_found() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    let (thread_id, item_id) = (text(&view.thread["id"]), text(&view.items()[0]["id"]));
    let colleague = TestClient::in_organisation(&stack, page.user.user.org_id, OrgRole::Owner).await?;
    let colleague = ChatPage::of_user(&stack, colleague).await?;
    let stranger = ChatPage::open(&stack).await?;
    let unknown = format!("thr_{}", Uuid::new_v4().simple());
    for (who, page) in [("a colleague", &colleague), ("a stranger", &stranger)] {
        for ((kind, foreign), (_, missing)) in requests_of_a_thread(&thread_id, &item_id)
            .into_iter()
            .zip(requests_of_a_thread(&unknown, &item_id))
        {
            let (status, mut foreign) = page.chat.call(kind, foreign).await?;
            let (_, mut missing) = page.chat.call(kind, missing).await?;
            ensure!(
                status == 404 && foreign["code"] == "thread_not_found",
                "{who}, {kind}: {status} {foreign}"
            );
            foreign["requestId"].take();
            missing["requestId"].take();
            ensure!(foreign == missing, "{who}, {kind}: {foreign} differs from {missing}");
        }
        ensure!(page.chat.json("threads.list", json!({})).await?["data"] == json!([]), "{who}");
    }
    ensure!(page.chat.items(&thread_id).await? == view.items(), "the thread has changed");
    Ok(())
}

/// The user's own threads are listed and go on in any of their sessions.
#[tokio::test]
async fn own_thread_goes_on_in_another_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let first = ChatPage::open(&stack).await?;
    let mut view = ThreadView::from_events(&first.chat.create_thread("Hello").await?.finish().await?)?;
    let thread_id = text(&view.thread["id"]);
    first.user.cancel(&format!("/chatkit/sessions/{}", first.session_id)).await?.expect(200)?;
    let second = ChatPage::of_user(&stack, first.user).await?;
    let listed = second.chat.json("threads.list", json!({})).await?;
    ensure!(listed["data"][0]["id"] == thread_id.as_str(), "{listed}");
    view.apply_all(&second.chat.add_message(&thread_id, "Again").await?.finish().await?)?;
    ensure!(second.chat.items(&thread_id).await? == view.items());
    Ok(())
}

#[tokio::test]
async fn secret_that_may_not_chat_is_refused_by_every_request() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = ChatPage::open(&stack).await?;
    let org_id = owner.user.user.org_id;
    let open = async || {
        let user = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
        let page = ChatPage::of_user(&stack, user).await?;
        let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
        anyhow::Ok((page, text(&view.thread["id"]), text(&view.items()[0]["id"])))
    };
    let all = |thread_id: &str, item_id: &str| {
        let mut requests = requests_of_a_thread(thread_id, item_id);
        requests.extend(other_requests());
        requests
    };
    let check = async |who: &str, chat: &ChatClient, ids: (&str, &str), status: u16, code: &str| {
        for (kind, params) in all(ids.0, ids.1) {
            let (found, problem) = chat.call(kind, params).await?;
            ensure!(found == status && problem["code"] == code, "{who}, {kind}: {found} {problem}");
        }
        anyhow::Ok(())
    };

    let (page, thread_id, item_id) = open().await?;
    let ids = (thread_id.as_str(), item_id.as_str());
    check("unknown secret", &page.chat.with_secret("ek_unknown"), ids, 401, "client_secret_rejected").await?;
    sqlx::query(
        "update public.chatkit_sessions set expires_at = now() - interval '1 second' where session_id = $1",
    )
    .bind(Uuid::parse_str(&page.session_id)?)
    .execute(stack.database())
    .await?;
    check("expired secret", &page.chat, ids, 401, "client_secret_rejected").await?;

    let (page, thread_id, item_id) = open().await?;
    page.user.cancel(&format!("/chatkit/sessions/{}", page.session_id)).await?.expect(200)?;
    check("ended session", &page.chat, (&thread_id, &item_id), 401, "client_secret_rejected").await?;

    let (page, thread_id, item_id) = open().await?;
    sqlx::query("update auth.users set banned_until = now() + interval '1 day' where id = $1")
        .bind(page.user.user.id)
        .execute(stack.database())
        .await?;
    check("dismissed member", &page.chat, (&thread_id, &item_id), 403, "not_a_member").await?;

    let (page, thread_id, item_id) = open().await?;
    register_agent(&stack, org_id, json!({ "p_allowed_org_roles": ["owner"] })).await?;
    check("closed agent", &page.chat, (&thread_id, &item_id), 403, "agent_forbidden").await?;
    let _ = AGENT;
    Ok(())
}
