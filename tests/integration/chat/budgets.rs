//! Budgets at the running function: at the limit, over it, for others, and in the next window.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::TOOL;
use local_stack::chat_client::{ChatStream, ThreadView, message};
use local_stack::model::{Gate, Script, Usage, last_user_text};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixture::{ChatPage, kinds, register_agent};
use super::tools::fixture::{ToolPage, tasks};
use crate::support::client::TestClient;

struct Case {
    /// Limits that admit two answers.
    limits: Value,
    code: &'static str,
    is_of_org: bool,
}

/// A refused request: its code and its `Retry-After`.
async fn refusal(page: &ChatPage) -> Result<(String, u64)> {
    let params = json!({ "input": message("One more") });
    let response = page.chat.request("threads.create", params).send().await?;
    let status = response.status();
    let wait = response.headers().get("retry-after").context("no Retry-After")?.to_str()?.parse()?;
    let body: Value = response.json().await?;
    ensure!(status == 429, "expected 429, found {status} {body}");
    Ok((body["code"].as_str().unwrap_or_default().to_owned(), wait))
}

async fn ask(page: &ChatPage) -> Result<()> {
    let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    ensure!(view.answer() == "Done." && view.errors.is_empty(), "{view:#?}");
    Ok(())
}

async fn set_limits(stack: &LocalStack, org_id: Uuid, mut limits: Value) -> Result<()> {
    limits["p_org_id"] = json!(org_id);
    let (status, body) = stack.rpc("set_org_limits", limits).await?;
    ensure!(status.is_success(), "{body}");
    Ok(())
}

async fn check(stack: &LocalStack, case: &Case) -> Result<()> {
    let gate = Gate::new();
    let waiting = gate.clone();
    stack.model().set_default_answer(move |body| {
        let usage = Usage { input: 500, cached: 0, output: 100, reasoning: 0 };
        let script = Script::new().usage(usage);
        let script = if last_user_text(body) == "Wait" { script.wait(&waiting) } else { script };
        script.text("Done.")
    });
    let org_id = Uuid::new_v4();
    register_agent(stack, org_id, json!({ "p_max_output_tokens": 16 })).await?;
    set_limits(stack, org_id, case.limits.clone()).await?;
    let user = TestClient::in_organisation(stack, org_id, OrgRole::Member).await?;
    let same_user = TestClient::from_user(stack, user.user.clone());
    let first = ChatPage::of_user(stack, user).await?;
    let second = ChatPage::of_user(stack, same_user).await?;
    let colleague = TestClient::in_organisation(stack, org_id, OrgRole::Member).await?;
    let colleague = ChatPage::of_user(stack, colleague).await?;
    let outsider = ChatPage::open(stack).await?;

    let mut waiting: Vec<ChatStream> = Vec::new();
    for page in [&first, &second] {
        if case.code.ends_with("too_many_runs") {
            let mut stream = page.chat.create_thread("Wait").await?;
            stream.until("stream_options").await?;
            waiting.push(stream);
        } else {
            ask(page).await?;
        }
    }
    for page in [&first, &second] {
        let (code, wait) = refusal(page).await?;
        ensure!(code == case.code && wait >= 1, "{code}, Retry-After {wait}");
        let listed = page.chat.json("threads.list", json!({})).await?;
        ensure!(listed["data"].as_array().is_some_and(|threads| threads.len() == 2), "{listed:#}");
    }
    if case.is_of_org {
        ensure!(refusal(&colleague).await?.0 == case.code);
    } else {
        ask(&colleague).await?;
    }
    ask(&outsider).await?;

    // The next window, or the end of the answers.
    gate.open();
    for stream in waiting {
        stream.finish().await?;
    }
    let refill = "update public.throttles set full_at = clock_timestamp() where kind in ('turn', 'token')";
    if !case.code.ends_with("too_many_runs") {
        sqlx::query(refill).execute(stack.database()).await?;
    }
    ask(&first).await
}

#[tokio::test]
async fn budgets_refuse_before_the_stream_and_only_whom_they_concern() -> Result<()> {
    let stack = LocalStack::start().await?;
    for (limit, value, code) in [
        ("p_turns_per_minute_user", 2, "rate_limited"),
        ("p_turns_per_minute_org", 2, "org_rate_limited"),
        ("p_active_runs_user", 2, "too_many_runs"),
        ("p_active_runs_org", 2, "org_too_many_runs"),
        // An answer takes 600.
        ("p_tokens_per_day_user", 1000, "tokens_used_up"),
        ("p_tokens_per_day_org", 1000, "org_tokens_used_up"),
    ] {
        let case = Case { limits: json!({ limit: value }), code, is_of_org: limit.ends_with("_org") };
        check(&stack, &case).await.with_context(|| limit.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn answer_without_tokens_for_another_response_ends_with_a_notice() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    set_limits(&stack, tools.org_id, json!({ "p_tokens_per_day_user": 5000 })).await?;
    let call =
        || Script::new().text("I pay it.").function_call(TOOL, &json!({ "invoice": 42, "amount": 900 }));
    let usage = |input| Usage { input, cached: 0, output: 100, reasoning: 0 };
    stack.model().script(call().usage(usage(2000)));
    stack.model().script(call().usage(usage(4000)));
    let events = tools.page.chat.create_thread("Pay invoice 42 twice").await?.finish().await?;
    let view = ThreadView::from_events(&events)?;
    ensure!(tasks(&view)[..2] == ["Done.", "Not made."], "{view:#?}");
    let last = view.items().last().context("no items")?;
    ensure!(last["task"]["title"] == "The tokens of the day are used up.", "{view:#?}");
    ensure!(view.errors.is_empty() && view.unfinished().is_empty(), "{view:#?}");
    let notice = events.last().context("no events")?;
    ensure!(notice["type"] == "notice" && notice["level"] == "warning", "{:?}", kinds(&events));
    ensure!(tools.agent().calls().len() == 1 && stack.model().requests().len() == 2);
    let run = "select count(*) from chat_runs where status = 'incomplete' and charged_tokens = 6200
               and error_code = 'tokens_used_up'";
    ensure!(tools.count(run).await? == 1, "the run is charged for what the model counted");
    ensure!(refusal(&tools.page).await?.0 == "tokens_used_up");
    Ok(())
}

#[tokio::test]
async fn agent_limits_the_calls_of_a_turn() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    let tools = ToolPage::open_in(&stack, org_id, json!({ "p_max_tool_calls": 2 }), json!({})).await?;
    stack.model().set_default_answer(|_| Script::new().function_call("none", &json!({})));
    let events = tools.page.chat.create_thread("Try").await?.finish().await?;
    let view = ThreadView::from_events(&events)?;
    ensure!(tasks(&view)[..2] == ["Not allowed."; 2] && view.items().len() == 4, "{view:#?}");
    ensure!(events.last().is_some_and(|event| event["type"] == "notice"), "{:?}", kinds(&events));
    let requests = stack.model().requests();
    ensure!(requests.len() == 3 && requests[2].body.get("tools").is_none(), "{} requests", requests.len());
    Ok(())
}
