//! Calls that are made, and calls that are refused.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::TOOL;
use local_stack::chat_client::ThreadView;
use local_stack::model::Script;
use serde_json::{Value, json};

use super::fixture::{ToolPage, output, pay, tasks};
use crate::chat::fixture::{kinds, text};

#[tokio::test]
async fn call_is_made_once_and_its_output_reaches_the_model() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    stack.model().script(
        Script::new()
            .reasoning(["It is due."])
            .text("I pay it.")
            .function_call(TOOL, &json!({ "invoice": 42, "amount": 900 })),
    );
    stack.model().script(Script::new().text("Invoice 42 is paid."));
    let events = tools.page.chat.create_thread("Pay invoice 42").await?.finish().await?;
    let view = ThreadView::from_events(&events)?;
    ensure!(view.answer() == "Invoice 42 is paid." && view.errors.is_empty(), "{view:#?}");
    let item_kinds: Vec<_> = view.items().iter().map(|item| text(&item["type"])).collect();
    ensure!(
        item_kinds == ["user_message", "workflow", "assistant_message", "task", "assistant_message"],
        "{item_kinds:?}"
    );
    let added =
        events.iter().find(|event| event["type"] == "thread.item.added" && event["item"]["type"] == "task");
    ensure!(
        added.is_some_and(|event| event["item"]["task"]["status_indicator"] == "loading"),
        "{:?}",
        kinds(&events)
    );
    ensure!(tasks(&view) == ["Done."] && view.unfinished().is_empty(), "{view:#?}");
    let thread_id = text(&view.thread["id"]);
    ensure!(tools.page.chat.items(&thread_id).await? == view.items());

    let calls = tools.agent().calls();
    ensure!(calls.len() == 1 && tools.agent().actions().len() == 1, "{calls:?}");
    // The registry describes the tools, so an answer does not wait for a list of the server.
    let requests = tools.agent().requests();
    ensure!(requests.iter().all(|request| request.rpc != "tools/list"), "{requests:?}");
    let arguments = calls[0].arguments();
    ensure!(arguments["inputs"] == json!({ "invoice": 42, "amount": 900 }), "{arguments:#}");
    ensure!(
        arguments["event"]["type"] == "agent_call" && arguments["event"]["actorType"] == "agent",
        "{arguments:#}"
    );
    ensure!(arguments["event"]["id"] == arguments["idempotencyKey"], "{arguments:#}");
    ensure!(tools.deliveries().await? == ["done"], "{:?}", tools.deliveries().await?);
    ensure!(tools.count("select count(*) from delivery_queues").await? == 0, "a queue is left");
    let recorded: Vec<String> =
        sqlx::query_scalar("select type from chat_events order by seq").fetch_all(stack.database()).await?;
    ensure!(recorded == ["agent_call", "agent_result"], "{recorded:?}");

    let requests = stack.model().requests();
    ensure!(requests.len() == 2, "{requests:#?}");
    let tool = &requests[0].body["tools"][0];
    ensure!(tool["name"] == TOOL && tool["parameters"]["required"] == json!(["invoice"]), "{tool:#}");
    let input = tools.last_input()?;
    let said = output(&input)?;
    ensure!(said.starts_with(r#"{"status":"completed"}"#) && said.contains("Invoice 42 is paid."), "{said}");
    ensure!(said.contains("<context source=\"tool\">"), "{said}");
    let call = input.iter().find(|item| item["type"] == "function_call").unwrap();
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap())?;
    ensure!(arguments == json!({ "invoice": 42, "amount": 900 }), "{call:#}");
    ensure!(
        !json!(requests.iter().map(|request| &request.body).collect::<Vec<_>>())
            .to_string()
            .contains("idempotencyKey")
    );

    // Later turns have the same pair.
    let later = tools.ask_more(&view, "Thank you").await?;
    ensure!(output(&later)? == said, "{later:#?}");
    ensure!(tools.agent().calls().len() == 1);
    Ok(())
}

#[tokio::test]
async fn refused_call_is_answered_and_not_made() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "refuse_above": 1000 })).await?;
    for (script, expected, deliveries) in [
        (pay(42, 5000), r#""error":"policy_never""#, 1),
        (Script::new().function_call("pay_everything", &json!({})), r#""error":"unknown_tool""#, 1),
        (Script::new().function_call(TOOL, &json!({ "invoice": "42" })), r#""pointer":"/invoice""#, 1),
        (Script::new().function_call(TOOL, &json!([42])), r#""error":"invalid_inputs""#, 1),
    ] {
        stack.model().script(script);
        stack.model().script(Script::new().text("I may not."));
        let view = tools.ask("Pay everything").await?;
        ensure!(view.answer() == "I may not." && tasks(&view) == ["Not allowed."], "{view:#?}");
        let said = output(&tools.last_input()?)?;
        ensure!(said.contains(r#""status":"refused""#) && said.contains(expected), "{said}");
        ensure!(tools.deliveries().await?.len() == deliveries, "{:?}", tools.deliveries().await?);
        ensure!(tools.page.chat.items(&text(&view.thread["id"])).await? == view.items());
        // A later request has the pair too, or the model's server would reject it.
        ensure!(output(&tools.ask_more(&view, "Why?").await?)? == said);
    }
    ensure!(tools.deliveries().await? == ["withdrawn policy_never"], "{:?}", tools.deliveries().await?);
    ensure!(tools.agent().count() == 0, "the agent was called");
    Ok(())
}

#[tokio::test]
async fn user_who_left_the_organisation_calls_nothing() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let gate = local_stack::model::Gate::new();
    stack.model().script(Script::new().wait(&gate).function_call(TOOL, &json!({ "invoice": 42 })));
    stack.model().script(Script::new().text("I may not."));
    let mut stream = tools.page.chat.create_thread("Pay invoice 42").await?;
    stream.until("stream_options").await?;
    tools.execute("update auth.users set banned_until = now() + interval '1 day'").await?;
    gate.open();
    stream.finish().await?;
    ensure!(tools.deliveries().await? == ["withdrawn requester_gone"], "{:?}", tools.deliveries().await?);
    ensure!(tools.agent().count() == 0, "the agent was called");
    Ok(())
}

#[tokio::test]
async fn turn_makes_at_most_sixteen_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    stack.model().set_default_answer(|_| Script::new().function_call("none", &json!({})));
    let view = tools.ask("Try").await?;
    let last = view.items().last().unwrap();
    ensure!(last["task"]["title"] == "The answer reached its limit of tool calls.", "{view:#?}");
    let requests = stack.model().requests();
    ensure!(requests.len() == 17, "{} requests", requests.len());
    ensure!(requests[15].body["tools"][0]["name"] == TOOL && requests[16].body.get("tools").is_none());
    ensure!(tools.count("select count(*) from chat_runs where status = 'incomplete'").await? == 1);
    Ok(())
}

#[tokio::test]
async fn calls_of_one_response_are_made_one_after_another() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let both = Script::new()
        .function_call(TOOL, &json!({ "invoice": 1, "amount": 10 }))
        .function_call(TOOL, &json!({ "invoice": 2, "amount": 20 }));
    stack.model().script(both);
    stack.model().script(Script::new().text("Both are paid."));
    let view = tools.ask("Pay both").await?;
    ensure!(view.answer() == "Both are paid." && tasks(&view) == ["Done.", "Done."], "{view:#?}");
    let paid: Vec<_> =
        tools.agent().actions().into_iter().map(|action| action.data["amount"].clone()).collect();
    ensure!(paid == [10.0, 20.0], "{paid:?}");
    Ok(())
}
