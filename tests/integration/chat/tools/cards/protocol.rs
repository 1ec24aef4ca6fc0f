//! Cards as openai-chatkit's types parse them.

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::chat_client::message;
use local_stack::model::Script;
use serde_json::json;

use super::{HeldCall, action};
use crate::chat::sdk::exchange::Exchange;
use crate::chat::sdk::python::ProtocolTypes;
use crate::chat::tools::fixture::{ToolPage, pay};
use crate::support::skip;

#[tokio::test]
async fn types_of_the_reference_parse_cards_and_clicks() -> Result<()> {
    skip::with_tools(async {
        let mut types = ProtocolTypes::start().await?;
        let stack = LocalStack::start().await?;
        let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
        let held = HeldCall::new(&tools).await?;
        let before = held.card().await?;
        let chat = &tools.page.chat;
        stack.model().script(pay(43, 900));
        stack.model().script(Script::new().text("It waits."));
        let params = json!({ "thread_id": held.thread_id, "input": message("Pay invoice 43") });
        let mut exchanges = vec![Exchange::send(chat, "threads.add_user_message", params).await?];
        let list = json!({ "thread_id": held.thread_id, "limit": 100, "order": "asc" });
        exchanges.push(Exchange::send(chat, "items.list", list.clone()).await?);
        for label in ["Confirm", "Withdraw"] {
            let params = held.params(&action(&before, label)?);
            exchanges.push(Exchange::send(chat, "threads.custom_action", params.clone()).await?);
            exchanges.push(Exchange::send(chat, "threads.sync_custom_action", params).await?);
        }
        held.dispatch().await?;
        exchanges.push(Exchange::send(chat, "items.list", list).await?);
        stack.model().script(Script::new().text("It is paid."));
        let params = held.params(&action(&held.card().await?, "Continue")?);
        exchanges.push(Exchange::send(chat, "threads.custom_action", params).await?);
        types.check(&exchanges).await
    })
    .await
}
