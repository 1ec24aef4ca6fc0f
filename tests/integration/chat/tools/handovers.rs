//! Handover of a running answer: the next agent continues it, or the page does with a hosted one.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use local_stack::chat_client::ThreadView;
use local_stack::model::{Gate, Model, Script};
use serde_json::{Value, json};

use super::fixture::{ToolPage, output, pay, register_tool, tasks, texts, until};
use crate::chat::fixture::{expire_leases, kinds, text, until_model_answers, until_model_is_idle};
use crate::support::client::AGENT;

const OTHER: &str = "tax_compliance";
const OTHER_MODEL: &str = "tax-model";
const CONTINUES: &str = "Tax compliance continues the conversation.";

/// A page whose agent may hand over to a self-hosted agent with another model.
async fn open(stack: &LocalStack) -> Result<ToolPage<'_>> {
    let tools = ToolPage::open_agent(stack, json!({ "p_built_in_tools": ["hand_over_to_agent"] })).await?;
    stack.model().add_model(Model::reasoning(OTHER_MODEL));
    let other = json!({
        "p_display_name": "Tax compliance", "p_description": "Knows the VAT.", "p_model": OTHER_MODEL,
        "p_instructions": "You know the VAT.", "p_built_in_tools": ["set_task"],
    });
    stack.register_self_hosted_agent(tools.org_id, OTHER, other).await?;
    Ok(tools)
}

fn hand_over() -> Script {
    let inputs = json!({ "agent_id": OTHER, "summary": "The user asks about the VAT." });
    Script::new().function_call("hand_over_to_agent", &inputs)
}

impl ToolPage<'_> {
    async fn session(&self) -> Result<Value> {
        let path = format!("/chatkit/sessions/{}", self.page.session_id);
        self.page.user.get(&path).await?.expect(200)
    }

    async fn runs(&self) -> Result<Vec<String>> {
        let query =
            "select concat_ws(' ', agent_id, status) from chat_runs where org_id = $1 order by started_at";
        Ok(sqlx::query_scalar(query).bind(self.org_id).fetch_all(self.stack.database()).await?)
    }
}

#[tokio::test]
async fn self_hosted_agent_continues_the_answer_in_the_same_stream() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    let both = Script::new().text("One moment.").function_call(
        "hand_over_to_agent",
        &json!({ "agent_id": OTHER, "summary": "The user asks about the VAT." }),
    );
    stack.model().script(both);
    stack.model().script(Script::new().text("It is 19 %."));
    let view = tools.ask("What is the VAT?").await?;
    ensure!(view.answer() == "It is 19 %." && view.errors.is_empty(), "{view:#?}");
    ensure!(view.unfinished().is_empty() && tasks(&view) == ["Done.", ""], "{view:#?}");
    ensure!(view.items()[3]["task"]["title"] == CONTINUES, "{view:#?}");
    let thread_id = text(&view.thread["id"]);
    ensure!(tools.page.chat.items(&thread_id).await? == view.items());

    let requests = stack.model().requests();
    ensure!(requests.len() == 2, "{requests:#?}");
    let offered = &requests[0].body["tools"][0];
    ensure!(offered["parameters"]["properties"]["agent_id"]["enum"] == json!([OTHER]), "{offered:#}");
    let next = &requests[1].body;
    ensure!(next["model"] == OTHER_MODEL && next["instructions"] == "You know the VAT.", "{next:#}");
    ensure!(next["tools"][0]["name"] == "set_task", "{next:#}");
    let input = tools.last_input()?;
    ensure!(output(&input)? == r#"{"status":"completed"}"#, "{input:#?}");
    let note = "The conversation was handed over to you.";
    ensure!(texts(&input).contains(note) && texts(&input).contains("asks about the VAT"), "{input:#?}");

    let session = tools.session().await?;
    ensure!(
        session["agentId"] == OTHER && session["chatkit"]["threads"][0]["id"] == thread_id,
        "{session:#}"
    );
    let events: Vec<_> = session["events"].as_array().unwrap().iter().collect();
    let types: Vec<_> = events.iter().map(|event| text(&event["type"])).collect();
    ensure!(types == ["agent_call", "handover"], "{types:?}");
    ensure!(events[1]["payload"]["fromAgentId"] == AGENT && events[1]["actorType"] == "agent", "{events:#?}");
    ensure!(tools.runs().await? == [format!("{OTHER} completed")], "{:?}", tools.runs().await?);

    let later = tools.ask_more(&view, "Thank you").await?;
    ensure!(stack.model().requests()[2].body["model"] == OTHER_MODEL);
    ensure!(output(&later)? == r#"{"status":"completed"}"#, "{later:#?}");
    ensure!(texts(&later).matches(note).count() == 1, "{later:#?}");
    Ok(())
}

#[tokio::test]
async fn calls_beside_a_handover_are_not_made() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    register_tool(&stack, tools.org_id, json!({})).await?;
    stack.model().script(hand_over().function_call(local_stack::agents::TOOL, &json!({ "invoice": 1 })));
    stack.model().script(Script::new().text("It is 19 %."));
    let view = tools.ask("What is the VAT?").await?;
    ensure!(view.answer() == "It is 19 %.", "{view:#?}");
    ensure!(tools.agent().calls().is_empty(), "the previous agent's call was made");
    ensure!(texts(&tools.last_input()?).contains("It was not called."));
    Ok(())
}

#[tokio::test]
async fn result_of_a_tool_hands_over_in_the_same_way() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    register_tool(&stack, tools.org_id, json!({})).await?;
    let result = json!({ "content": [], "structuredContent": {
        "status": "completed", "message": "Paid.",
        "handover": { "agentId": OTHER, "reason": "VAT", "summary": "The VAT is open." },
    } });
    tools.agent().add_fault(Fault::on_calls().result(result).times(1));
    stack.model().script(pay(1, 10));
    stack.model().script(Script::new().text("It is 19 %."));
    let view = tools.ask("Pay it").await?;
    ensure!(view.answer() == "It is 19 %." && view.errors.is_empty(), "{view:#?}");
    let input = tools.last_input()?;
    ensure!(output(&input)?.starts_with(r#"{"status":"completed"}"#), "{input:#?}");
    ensure!(texts(&input).contains("The VAT is open."), "{input:#?}");
    ensure!(stack.model().requests()[1].body["model"] == OTHER_MODEL);
    ensure!(tools.session().await?["agentId"] == OTHER);
    ensure!(tools.runs().await? == [format!("{OTHER} completed")], "{:?}", tools.runs().await?);
    Ok(())
}

#[tokio::test]
async fn handover_to_a_hosted_agent_ends_the_stream_and_the_page_changes_its_provider() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    stack.register_agent(tools.org_id, OTHER, "Tax compliance").await?;
    stack.model().script(hand_over());
    let events = tools.page.chat.create_thread("What is the VAT?").await?.finish().await?;
    let last = events.last().context("no events")?;
    ensure!(last["type"] == "notice" && last["message"] == CONTINUES, "{:?}", kinds(&events));
    let view = ThreadView::from_events(&events)?;
    ensure!(
        view.errors.is_empty() && view.items().last().unwrap()["task"]["title"] == CONTINUES,
        "{view:#?}"
    );
    ensure!(stack.model().requests().len() == 1, "the model was asked again");
    ensure!(tools.runs().await? == [format!("{AGENT} completed")], "{:?}", tools.runs().await?);

    let (status, problem) = tools.page.chat.call("threads.list", json!({})).await?;
    ensure!(status == 401 && problem["code"] == "client_secret_rejected", "{status} {problem}");
    let refresh = json!({ "sessionId": tools.page.session_id, "purpose": "refresh" });
    let refreshed = tools.page.user.post("/chatkit/sessions", refresh).await?.expect(200)?;
    ensure!(
        refreshed["chatkit"]["provider"] == "openai_hosted" && refreshed["agentId"] == OTHER,
        "{refreshed:#}"
    );
    Ok(())
}

#[tokio::test]
async fn agents_that_hand_over_to_each_other_stop_after_three_handovers() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    let back = json!({ "p_display_name": "Tax", "p_model": OTHER_MODEL, "p_built_in_tools": ["hand_over_to_agent"] });
    stack.register_self_hosted_agent(tools.org_id, OTHER, back).await?;
    stack.model().set_default_answer(|request| {
        if request["input"].to_string().contains("too_many_handovers") {
            return Script::new().text("I answer it.");
        }
        let next = if request["model"] == OTHER_MODEL { AGENT } else { OTHER };
        let inputs = json!({ "agent_id": next, "summary": "Yours." });
        Script::new().function_call("hand_over_to_agent", &inputs)
    });
    let view = tools.ask("What is the VAT?").await?;
    ensure!(view.answer() == "I answer it.", "{view:#?}");
    let handovers = tools.count("select count(*) from chat_events where type = 'handover'").await?;
    ensure!(handovers == 3 && tools.session().await?["agentId"] == OTHER, "{handovers} handovers");
    Ok(())
}

#[tokio::test]
async fn agent_that_the_user_may_not_open_is_neither_offered_nor_reached() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    let gate = Gate::new();
    stack.model().script(
        Script::new()
            .wait(&gate)
            .function_call("hand_over_to_agent", &json!({ "agent_id": OTHER, "summary": "VAT" })),
    );
    stack.model().script(Script::new().text("I may not."));
    let mut stream = tools.page.chat.create_thread("What is the VAT?").await?;
    stream.until("stream_options").await?;
    until_model_answers(&stack).await?;
    let closed = json!({ "p_model": OTHER_MODEL, "p_allowed_org_roles": ["owner"] });
    stack.register_self_hosted_agent(tools.org_id, OTHER, closed).await?;
    gate.open();
    let view = ThreadView::from_events(&stream.finish().await?)?;
    ensure!(view.answer() == "I may not." && tasks(&view) == ["Not allowed."], "{view:#?}");
    ensure!(output(&tools.last_input()?)?.contains("agent_forbidden"));
    ensure!(tools.session().await?["agentId"] == AGENT);
    // The next answer cannot be handed over to another agent.
    tools.ask_more(&view, "Why?").await?;
    ensure!(stack.model().requests()[2].body.get("tools").is_none());
    Ok(())
}

/// The session has used another thread since the answer began.
#[tokio::test]
async fn thread_of_the_answer_goes_along() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    let gate = Gate::new();
    stack.model().script(
        Script::new()
            .wait(&gate)
            .when("VAT")
            .function_call("hand_over_to_agent", &json!({ "agent_id": OTHER, "summary": "VAT" })),
    );
    let mut stream = tools.page.chat.create_thread("What is the VAT?").await?;
    stream.until("stream_options").await?;
    until_model_answers(&stack).await?;
    let other = tools.ask("Hello").await?;
    gate.open();
    let view = ThreadView::from_events(&stream.finish().await?)?;
    let threads = tools.page.chat.json("threads.list", json!({})).await?;
    let ids: Vec<_> = threads["data"].as_array().unwrap().iter().map(|thread| text(&thread["id"])).collect();
    ensure!(ids == [text(&view.thread["id"])], "{ids:?}, other {}", other.thread["id"]);
    Ok(())
}

/// The process dies after the handover: the question is answered once, by the next agent.
#[tokio::test]
async fn broken_answer_is_taken_up_by_the_next_agent() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = open(&stack).await?;
    let gate = Gate::new();
    stack.model().script(hand_over());
    stack.model().script(Script::new().wait(&gate).text("Late."));
    let mut stream = tools.page.chat.create_thread("What is the VAT?").await?;
    let question = stream.until("thread.item.done").await?;
    until(|| stack.model().requests().len() == 2).await?;
    expire_leases(&stack).await?;
    let thread_id = text(&question["item"]["thread_id"]);
    tools.page.chat.items(&thread_id).await?;
    stack.model().script(Script::new().text("It is 19 %."));
    let retry = json!({ "thread_id": thread_id, "item_id": question["item"]["id"] });
    let events = tools.page.chat.stream("threads.retry_after_item", retry).await?.finish().await?;
    ensure!(ThreadView::from_events(&events)?.answer() == "It is 19 %.", "{events:#?}");
    let last = stack.model().requests().pop().context("no request")?;
    ensure!(last.body["model"] == OTHER_MODEL, "{:#}", last.body);
    let input = tools.last_input()?;
    ensure!(output(&input)? == r#"{"status":"completed"}"#, "{input:#?}");
    ensure!(tools.count("select count(*) from chat_events where type = 'handover'").await? == 1);
    let runs = tools.runs().await?;
    ensure!(runs == [format!("{OTHER} interrupted"), format!("{OTHER} completed")], "{runs:?}");
    gate.open();
    until_model_is_idle(&stack).await
}
