//! Authorization of threads: only the thread's user, with a live client secret, while they may open
//! the agent.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::{ChatClient, ThreadView, message};
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use shared::domain::chat::protocol::ChatRequest;
use uuid::Uuid;

use super::fixture::{ChatPage, register_agent, text};
use crate::support::client::TestClient;

/// What the ids of a request refer to.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Nothing,
    Thread,
    /// An item of a thread.
    Item,
    /// An attachment. No request with one is supported.
    Attachment,
}

/// Every type of request, in each form in which it can name something.
fn requests(thread_id: &str, item_id: &str) -> Vec<(Names, &'static str, Value)> {
    let with = |rest: Value| {
        let mut params = json!({ "thread_id": thread_id });
        params.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        params
    };
    let action = json!({ "type": "call.confirm", "payload": { "subjectHash": "x" } });
    let continuation = json!({ "type": "call.continue" });
    let mut with_attachment = message("Hello");
    with_attachment["attachments"] = json!(["atc_1"]);
    vec![
        (Names::Nothing, "threads.create", json!({ "input": message("Hello") })),
        (Names::Attachment, "threads.create", json!({ "input": with_attachment })),
        (Names::Thread, "threads.add_user_message", with(json!({ "input": with_attachment }))),
        (Names::Thread, "threads.add_user_message", with(json!({ "input": message("Hello") }))),
        (Names::Thread, "threads.add_client_tool_output", with(json!({ "result": {} }))),
        (
            Names::Item,
            "threads.add_structured_input",
            with(json!({ "item_id": item_id, "input": { "status": "skipped" } })),
        ),
        (Names::Thread, "threads.custom_action", with(json!({ "action": action }))),
        (Names::Item, "threads.custom_action", with(json!({ "item_id": item_id, "action": action }))),
        (Names::Item, "threads.custom_action", with(json!({ "item_id": item_id, "action": continuation }))),
        (Names::Thread, "threads.sync_custom_action", with(json!({ "action": action }))),
        (Names::Item, "threads.sync_custom_action", with(json!({ "item_id": item_id, "action": action }))),
        (Names::Item, "threads.retry_after_item", with(json!({ "item_id": item_id }))),
        (Names::Thread, "threads.get_by_id", with(json!({}))),
        (Names::Nothing, "threads.list", json!({})),
        (Names::Thread, "threads.list", json!({ "after": thread_id })),
        (Names::Thread, "threads.update", with(json!({ "title": "x" }))),
        (Names::Thread, "threads.delete", with(json!({}))),
        (Names::Thread, "items.list", with(json!({}))),
        (Names::Item, "items.list", with(json!({ "after": item_id }))),
        (Names::Item, "items.feedback", with(json!({ "item_ids": [item_id], "kind": "negative" }))),
        (Names::Nothing, "attachments.create", json!({ "name": "a", "size": 1, "mime_type": "text/plain" })),
        (Names::Attachment, "attachments.delete", json!({ "attachment_id": "atc_1" })),
        (Names::Nothing, "input.transcribe", json!({ "audio_base64": "AA==", "mime_type": "audio/webm" })),
    ]
}

/// A user's page with a thread of a question and an answer.
struct Conversation {
    page: ChatPage,
    view: ThreadView,
    thread_id: String,
    item_id: String,
}

impl Conversation {
    async fn begin(page: ChatPage) -> Result<Self> {
        let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
        let (thread_id, item_id) = (text(&view.thread["id"]), text(&view.items()[0]["id"]));
        Ok(Self { page, view, thread_id, item_id })
    }

    /// Checks that a request which names something of another user is answered like one that names
    /// something that does not exist.
    async fn expect_not_found(
        &self,
        who: &str,
        kind: &str,
        (foreign, missing): (Value, Value),
        code: &str,
    ) -> Result<()> {
        let (status, mut foreign) = self.page.chat.call(kind, foreign).await?;
        let (_, mut missing) = self.page.chat.call(kind, missing).await?;
        ensure!(status == 404 && foreign["code"] == code, "{who}, {kind}: {status} {foreign}");
        foreign["requestId"].take();
        missing["requestId"].take();
        ensure!(foreign == missing, "{who}, {kind}: {foreign} differs from {missing}");
        Ok(())
    }
}

/// Others who have threads of their own: a colleague, a member of another organisation, and the
/// same user in another organisation. The user is in that one afterwards.
async fn others(stack: &LocalStack, user: &User) -> Result<[(&'static str, Conversation); 3]> {
    let colleague = TestClient::in_organisation(stack, user.org_id, OrgRole::Owner).await?;
    let colleague = Conversation::begin(ChatPage::of_user(stack, colleague).await?).await?;
    let stranger = Conversation::begin(ChatPage::open(stack).await?).await?;
    let elsewhere = User { org_id: Uuid::new_v4(), ..user.clone() };
    register_agent(stack, elsewhere.org_id, json!({})).await?;
    stack.upsert_user(&elsewhere).await?;
    let elsewhere = ChatPage::of_user(stack, TestClient::from_user(stack, elsewhere)).await?;
    let elsewhere = Conversation::begin(elsewhere).await?;
    Ok([
        ("a colleague", colleague),
        ("a stranger", stranger),
        ("the same user in another organisation", elsewhere),
    ])
}

#[test]
fn table_has_every_type_of_request() {
    let tested: BTreeSet<_> = requests("thr_x", "msg_x").into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(tested, BTreeSet::from(ChatRequest::KINDS));
}

#[tokio::test]
async fn threads_and_items_of_others_are_not_found() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = Conversation::begin(ChatPage::open(&stack).await?).await?;
    let unknown_thread = format!("thr_{}", Uuid::new_v4().simple());
    let unknown_item = format!("msg_{}", Uuid::new_v4().simple());
    for (who, other) in others(&stack, &owner.page.user.user).await? {
        // In a thread of the owner, the owner's item; then in a thread of one's own.
        let of_thread = requests(&owner.thread_id, &owner.item_id).into_iter();
        for ((names, kind, foreign), (_, _, missing)) in
            of_thread.zip(requests(&unknown_thread, &owner.item_id))
        {
            if matches!(names, Names::Thread | Names::Item) {
                other.expect_not_found(who, kind, (foreign, missing), "thread_not_found").await?;
            }
        }
        let of_item = requests(&other.thread_id, &owner.item_id).into_iter();
        for ((names, kind, foreign), (_, _, missing)) in
            of_item.zip(requests(&other.thread_id, &unknown_item))
        {
            if names == Names::Item {
                other.expect_not_found(who, kind, (foreign, missing), "item_not_found").await?;
            }
        }
        let rating = |item_id: &str| {
            let item_ids = [&*other.item_id, item_id];
            json!({ "thread_id": other.thread_id, "item_ids": item_ids, "kind": "positive" })
        };
        let ratings = (rating(&owner.item_id), rating(&unknown_item));
        other.expect_not_found(who, "items.feedback", ratings, "item_not_found").await?;
        for (names, kind, params) in requests(&other.thread_id, &other.item_id) {
            if names == Names::Attachment {
                let (status, problem) = other.page.chat.call(kind, params).await?;
                let is_refused = status == 422 && problem["code"] == "chat_request_unsupported";
                ensure!(is_refused, "{who}, {kind}: {status} {problem}");
            }
        }
        let listed = other.page.chat.json("threads.list", json!({})).await?;
        let listed: Vec<_> = listed["data"].as_array().into_iter().flatten().map(|row| &row["id"]).collect();
        ensure!(listed == [&json!(other.thread_id)], "{who} lists {listed:?}");
        ensure!(other.page.chat.items(&other.thread_id).await? == other.view.items(), "{who}");
    }
    stack.upsert_user(&owner.page.user.user).await?;
    ensure!(owner.page.chat.items(&owner.thread_id).await? == owner.view.items(), "the thread has changed");
    let events = sqlx::query_scalar::<_, i64>("select count(*) from chat_events").fetch_one(stack.database());
    ensure!(events.await? == 0, "a refused request is an event");
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
    let org_id = ChatPage::open(&stack).await?.user.user.org_id;
    let open = async || {
        let user = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
        Conversation::begin(ChatPage::of_user(&stack, user).await?).await
    };
    let check = async |who: &str, chat: &ChatClient, own: &Conversation, status: u16, code: &str| {
        for (_, kind, params) in requests(&own.thread_id, &own.item_id) {
            let (found, problem) = chat.call(kind, params).await?;
            ensure!(found == status && problem["code"] == code, "{who}, {kind}: {found} {problem}");
        }
        anyhow::Ok(())
    };

    let own = open().await?;
    let unknown = own.page.chat.with_secret("ek_unknown");
    check("unknown secret", &unknown, &own, 401, "client_secret_rejected").await?;
    sqlx::query(
        "update public.chatkit_sessions set expires_at = now() - interval '1 second' where session_id = $1",
    )
    .bind(Uuid::parse_str(&own.page.session_id)?)
    .execute(stack.database())
    .await?;
    check("expired secret", &own.page.chat, &own, 401, "client_secret_rejected").await?;

    let own = open().await?;
    own.page.user.cancel(&format!("/chatkit/sessions/{}", own.page.session_id)).await?.expect(200)?;
    check("ended session", &own.page.chat, &own, 401, "client_secret_rejected").await?;

    let own = open().await?;
    sqlx::query("update auth.users set banned_until = now() + interval '1 day' where id = $1")
        .bind(own.page.user.user.id)
        .execute(stack.database())
        .await?;
    check("dismissed member", &own.page.chat, &own, 403, "not_a_member").await?;

    let own = open().await?;
    register_agent(&stack, org_id, json!({ "p_allowed_org_roles": ["owner"] })).await?;
    check("closed agent", &own.page.chat, &own, 403, "agent_forbidden").await?;
    Ok(())
}
