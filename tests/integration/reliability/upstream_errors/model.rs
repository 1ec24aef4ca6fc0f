//! Errors of the model's server: what the reader and the operator see of each.

use anyhow::{Context, Result, bail, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ThreadView;
use local_stack::model::{Delta, End, ErrorShape, Fault, Script};
use serde_json::{Value, json};

use super::{Row, rows};
use crate::chat::fixture::{ChatPage, register_agent, text};

const INTERRUPTED: &str = "The answer was interrupted.";
const TIME_LIMIT: &str = "The answer reached its time limit.";
const UNAVAILABLE: &str = "The model is not available. Report this to an administrator.";

/// A failure as a reader sees it.
#[derive(Debug, PartialEq)]
struct Ending {
    mark: &'static str,
    /// `None` for the client's own text.
    message: Option<&'static str>,
    allow_retry: bool,
}

/// A failure of the model's server.
struct Case {
    name: String,
    cause: String,
    /// The error code of the run and of the log line.
    code: String,
    fault: Fault,
    /// Whether the answer had begun.
    is_in_stream: bool,
}

/// Returns the ending of a cause. A cause without an ending is an error, so none is forgotten.
fn ending(cause: &str) -> Result<Ending> {
    let (mark, message, allow_retry) = match cause {
        "Unavailable" | "Cut" | "TooLarge" | "BadAnswer" => (INTERRUPTED, None, true),
        "RateLimited" => (INTERRUPTED, Some("The model is busy. Try again in a minute."), true),
        "TimedOut" => (TIME_LIMIT, Some(TIME_LIMIT), true),
        "InputTooLong" => {
            (INTERRUPTED, Some("The conversation is too long for the model. Start a new one."), false)
        }
        "PromptRejected" => {
            (INTERRUPTED, Some("The model does not accept this message. Send it in other words."), false)
        }
        "KeyRejected" | "Blocked" | "ModelNotFound" | "EndpointNotFound" | "SettingsRejected"
        | "QuotaExhausted" | "NotEventStream" => (INTERRUPTED, Some(UNAVAILABLE), false),
        other => bail!("the cause {other} has no ending"),
    };
    Ok(Ending { mark, message, allow_retry })
}

/// The documented rows, before the stream and, for rows with codes, in it.
fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for row in rows("The model")? {
        let (_, code) = row.expected.clone().context("a row without a code")?;
        let case = |cause: &str, fault: Fault, is_in_stream: bool| Case {
            name: format!("{row:?} {fault:?}"),
            cause: cause.to_owned(),
            code: code.clone(),
            fault,
            is_in_stream,
        };
        cases.extend(faults(&row)?.into_iter().map(|(cause, fault)| case(&cause, fault, false)));
        for code in &row.codes {
            for end in ends(code) {
                cases.push(case(&row.cause, Fault::end_after(2, end), true));
            }
        }
    }
    let in_stream = |cause: &str, code: &str, end: End| Case {
        name: format!("{end:?}"),
        cause: cause.to_owned(),
        code: code.to_owned(),
        fault: Fault::end_after(2, end),
        is_in_stream: true,
    };
    for end in ends("server_error").into_iter().chain(ends("something_new")) {
        cases.push(in_stream("Unavailable", "model_unavailable", end));
    }
    for end in ends("rate_limit_exceeded") {
        cases.push(in_stream("RateLimited", "model_rate_limited", end));
    }
    for end in [End::Reset, End::Disconnect, End::Truncated] {
        cases.push(in_stream("Cut", "model_unavailable", end));
    }
    for (content_type, body) in [("text/html", "<p>Hello</p>"), ("application/json", "{}")] {
        cases.push(Case {
            name: content_type.to_owned(),
            cause: "NotEventStream".to_owned(),
            code: "model_bad_answer".to_owned(),
            fault: Fault::response(200, content_type, body),
            is_in_stream: false,
        });
    }
    Ok(cases)
}

/// The ways to report a code in a stream.
fn ends(code: &str) -> Vec<End> {
    let error = |shape, then_failed| End::Error {
        shape,
        code: code.to_owned(),
        message: "Sorry".to_owned(),
        then_failed,
    };
    vec![
        End::Failed { code: code.to_owned(), message: "Sorry".to_owned() },
        error(ErrorShape::Flat, false),
        error(ErrorShape::Nested, true),
    ]
}

/// Responses to which the row applies, each with its cause.
fn faults(row: &Row) -> Result<Vec<(String, Fault)>> {
    let html = "<!DOCTYPE html><title>proxy</title>";
    let respond = |status, body: Value| Fault::response(status, "application/json", body.to_string());
    let all = |fault: &dyn Fn(u16, String) -> Fault| {
        let responses = row.responses(418, "").into_iter();
        responses.map(|(status, code)| (row.cause.clone(), fault(status, code).should_retry(false))).collect()
    };
    Ok(match row.responder.as_str() {
        "OpenAI" => all(&|status, code| {
            let code = Some(code).filter(|code| !code.is_empty());
            respond(status, json!({ "error": { "message": row.message(), "type": "x", "code": code } }))
        }),
        "gateway" => all(&|status, _| respond(status, json!({ "message": row.message() }))),
        "other" => all(&|status, _| Fault::response(status, "text/html", html)),
        "any" => all(&|status, _| Fault::response(status, "text/html", html)),
        "no response: the connection failed" => vec![("Cut".to_owned(), Fault::reset())],
        "no response in time" => vec![("TimedOut".to_owned(), Fault::hang())],
        "any, with more than 4 MiB" => {
            vec![("TooLarge".to_owned(), Fault::response(400, "text/plain", "x".repeat(5 << 20)))]
        }
        other => bail!("a response from {other:?} cannot be simulated"),
    })
}

#[tokio::test]
async fn every_error_of_the_model_ends_the_answer_as_documented() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let org_id = page.user.user.org_id;
    stack.raise_limits(org_id).await?;
    // The session of a server that does not respond in time.
    register_agent(&stack, org_id, json!({ "p_max_turn_seconds": 5 })).await?;
    let page = ChatPage::of_user(&stack, page.user).await?;
    let words = ["The ", "invoice ", "is ", "paid."];
    stack.model().set_default_answer(move |_| Script::new().deltas(words.map(Delta::from)));
    let cases = cases()?;
    ensure!(cases.len() > 80, "expected more than 80 cases, found {}", cases.len());
    for (number, case) in cases.iter().enumerate() {
        let fault = stack.model().add_fault(case.fault.clone());
        check_case(&stack, &page, number, case).await.with_context(|| case.name.clone())?;
        stack.model().clear(fault);
    }

    let lines: Vec<Value> =
        stack.final_logs().await.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "the model's answer broke off")
        .map(|line| text(&line["code"]))
        .collect();
    let expected: Vec<_> = cases.iter().map(|case| case.code.clone()).collect();
    ensure!(logged == expected, "expected the codes {expected:?} in the log, found {logged:?}");
    Ok(())
}

async fn check_case(stack: &LocalStack, page: &ChatPage, number: usize, case: &Case) -> Result<()> {
    let expected = ending(&case.cause)?;
    let events = page.chat.create_thread(&format!("Question {number}")).await?.finish().await?;
    let view = ThreadView::from_events(&events)?;
    ensure!(view.errors.len() == 1, "expected one error event: {events:#?}");
    let error = &view.errors[0];
    let code = if expected.message.is_some() { "custom" } else { "stream.error" };
    ensure!(error["message"].as_str() == expected.message && error["code"] == code, "{error}");
    ensure!(error["allow_retry"] == expected.allow_retry, "{error}");
    ensure!(events.last() == Some(error), "the error is not the last event: {events:#?}");
    let kinds: Vec<_> = view.items().iter().map(|item| text(&item["type"])).collect();
    let with_answer = ["user_message", "assistant_message", "task"];
    let kinds_expected = if case.is_in_stream { &with_answer[..] } else { &["user_message", "task"] };
    ensure!(kinds == kinds_expected, "expected {kinds_expected:?}, found {kinds:?}");
    let mark = view.items().last().context("no items")?;
    ensure!(mark["task"]["title"] == expected.mark, "expected {:?}, found {mark}", expected.mark);
    let thread_id = text(&view.thread["id"]);
    ensure!(page.chat.items(&thread_id).await? == view.items(), "{view:#?}");
    let run: (String, Option<String>) =
        sqlx::query_as("select status, error_code from public.chat_runs where thread_id = $1")
            .bind(&thread_id)
            .fetch_one(stack.database())
            .await?;
    ensure!(run == ("failed".to_owned(), Some(case.code.clone())), "{run:?} instead of {}", case.code);
    Ok(())
}
