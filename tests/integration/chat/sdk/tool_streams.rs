//! Streams with built-in tools and client tools, parsed by openai-chatkit's types.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::message;
use local_stack::model::{Model, Script};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::exchange::Exchange;
use super::python::ProtocolTypes;
use crate::chat::fixture::{ChatPage, register_agent};
use crate::support::client::TestClient;
use crate::support::skip;

#[tokio::test]
async fn streams_with_tools_follow_the_protocol() -> Result<()> {
    skip::with_tools(async {
        let mut types = ProtocolTypes::start().await?;
        let stack = LocalStack::start().await?;
        let org_id = Uuid::new_v4();
        let client_tool = json!({ "name": "open", "description": "Opens it.", "input_schema": { "type": "object" } });
        let all = json!({
            "p_built_in_tools": ["ask_person", "hand_over_to_agent", "set_task"], "p_client_tools": [client_tool],
        });
        register_agent(&stack, org_id, all).await?;
        stack.model().add_model(Model::reasoning("own"));
        let own = json!({ "p_model": "own", "p_built_in_tools": ["hand_over_to_agent"] });
        stack.register_self_hosted_agent(org_id, "own", own).await?;
        stack.register_agent(org_id, "hosted", "Hosted").await?;
        let user = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
        let chat = ChatPage::of_user(&stack, user).await?.chat;
        let call = |name: &str, inputs: Value| stack.model().script(Script::new().function_call(name, &inputs));
        let hand_over = |agent: &str| call("hand_over_to_agent", json!({ "agent_id": agent, "summary": "VAT" }));

        call("set_task", json!({ "id": "a", "title": "A", "status": "running" }));
        call("ask_person", json!({ "question": "Who?" }));
        call("open", json!({ "invoice": 42 }));
        let mut exchanges = vec![Exchange::send(&chat, "threads.create", json!({ "input": message("Open it") })).await?];
        let events = exchanges[0].events()?;
        let last = &events.last().unwrap()["item"];
        ensure!(last["type"] == "client_tool_call" && last["status"] == "pending", "{events:#?}");
        let thread_id = last["thread_id"].clone();
        let items = json!({ "thread_id": thread_id });
        exchanges.push(Exchange::send(&chat, "items.list", items.clone()).await?);

        hand_over("own");
        stack.model().script(Script::new().text("It is 19 %."));
        let result = json!({ "thread_id": thread_id, "result": { "opened": true } });
        for _ in 0..2 {
            // The second one repeats the answer to the first.
            exchanges.push(Exchange::send(&chat, "threads.add_client_tool_output", result.clone()).await?);
        }
        exchanges.push(Exchange::send(&chat, "items.list", items).await?);
        hand_over("hosted");
        let more = json!({ "thread_id": thread_id, "input": message("Go on") });
        exchanges.push(Exchange::send(&chat, "threads.add_user_message", more).await?);
        let events = exchanges.last().unwrap().events()?;
        ensure!(events.last().unwrap()["type"] == "notice", "{events:#?}");
        ensure!(stack.model().scripts_left() == 0, "a script is left");
        types.check(&exchanges).await
    })
    .await
}
