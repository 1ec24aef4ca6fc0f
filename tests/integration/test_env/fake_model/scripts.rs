//! Scripted answers: their events, in OpenAI's order, and the response that they add up to.

use anyhow::{Context, Result};
use local_stack::model::{Citation, Delta, End, ErrorShape, IncompleteReason, Part, Script, Step, Usage};
use serde_json::{Value, json};

use super::{Api, body, types};

/// An answer with every kind of item and part.
fn everything() -> Script {
    let text = Part::Text(
        vec!["You owe ".into(), "EUR 4 100.".into()],
        vec![
            Citation::Url { url: "https://a".to_owned(), title: "A".to_owned(), start: 8, end: 17 },
            Citation::File { file_id: "file_1".to_owned(), filename: "a.pdf".to_owned(), index: 17 },
        ],
    );
    Script::new()
        .reasoning(["**Looking**", "at bills"])
        .step(Step::Message(vec![text, Part::Refusal(vec!["I cannot ".into(), "pay.".into()])]))
        .step(Step::FunctionCall {
            call_id: Some("call_1".to_owned()),
            name: "list_bills".to_owned(),
            arguments: vec!["{\"due\":".into(), "\"today\"}".into()],
        })
}

/// A request that asks for summaries and no padding.
fn request() -> Value {
    let mut body = body("What do we owe?");
    body["reasoning"] = json!({"summary": "auto"});
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_obfuscation": false});
    body
}

#[tokio::test]
async fn events_arrive_in_openai_order() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(everything());
    let events = api.stream(&request()).await?;
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(types(&events), expected);
    let numbers: Vec<Value> = events.iter().map(|event| event["sequence_number"].clone()).collect();
    assert_eq!(json!(numbers), json!((0..expected.len()).collect::<Vec<_>>()));

    let indices =
        |name: &str| -> Vec<u64> { events.iter().filter_map(|event| event[name].as_u64()).collect() };
    let repeated = |counts: &[(u64, usize)]| -> Vec<u64> {
        counts.iter().flat_map(|(index, count)| std::iter::repeat_n(*index, *count)).collect()
    };
    assert_eq!(indices("output_index"), repeated(&[(0, 11), (1, 14), (2, 5)]));
    assert_eq!(indices("summary_index"), repeated(&[(0, 4), (1, 5)]));
    assert_eq!(indices("content_index"), repeated(&[(0, 7), (1, 5)]));
    assert_eq!(indices("annotation_index"), [0, 1]);
    Ok(())
}

#[tokio::test]
async fn events_add_up_to_the_response() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(everything());
    let events = api.stream(&request()).await?;
    let response = &events[events.len() - 1]["response"];
    let done: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["item"])
        .collect();
    assert_eq!(json!(done), response["output"]);
    for (i, item) in done.iter().enumerate() {
        let own = events.iter().filter(|event| event["output_index"] == i);
        let ids: Vec<&Value> = own
            .map(|event| if event["item_id"].is_null() { &event["item"]["id"] } else { &event["item_id"] })
            .collect();
        assert!(ids.iter().all(|id| **id == item["id"]), "{ids:?}");
    }
    let joined = |kind: &str, index: &str, at: usize| -> String {
        let own = events.iter().filter(|event| event["type"] == kind && event[index] == at);
        own.filter_map(|event| event["delta"].as_str()).collect()
    };
    assert_eq!(joined("response.output_text.delta", "content_index", 0), "You owe EUR 4 100.");
    assert_eq!(done[1]["content"][0]["text"], "You owe EUR 4 100.");
    assert_eq!(done[1]["content"][1], json!({"type": "refusal", "refusal": "I cannot pay."}));
    assert_eq!(joined("response.reasoning_summary_text.delta", "summary_index", 1), "at bills");
    assert_eq!(done[0]["summary"][1], json!({"type": "summary_text", "text": "at bills"}));
    assert_eq!(joined("response.function_call_arguments.delta", "output_index", 2), r#"{"due":"today"}"#);
    assert_eq!(
        (&done[2]["arguments"], &done[2]["call_id"]),
        (&json!(r#"{"due":"today"}"#), &json!("call_1"))
    );
    let annotations = json!([
        {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 8, "end_index": 17},
        {"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 17},
    ]);
    assert_eq!(done[1]["content"][0]["annotations"], annotations);
    let statuses: Vec<&Value> = [1, 2].map(|i| &done[i]["status"]).into();
    assert_eq!(json!(statuses), json!(["completed", "completed"]));
    // The first two events have the response before its output.
    let before = &events[0]["response"];
    assert_eq!(
        (&before["status"], &before["output"], &before["usage"]),
        (&json!("in_progress"), &json!([]), &Value::Null)
    );
    assert_eq!((&before["id"], before), (&response["id"], &events[1]["response"]));
    Ok(())
}

#[tokio::test]
async fn complete_response_equals_the_streamed_one() -> Result<()> {
    let api = Api::start().await?;
    for script in [
        everything(),
        everything().end(End::Incomplete(IncompleteReason::ContentFilter)),
        everything().failed("server_error", "Failed."),
    ] {
        api.fake.script(script.clone());
        let events = api.stream(&request()).await?;
        api.fake.script(script);
        let mut complete_request = request();
        complete_request["stream"] = json!(false);
        complete_request["stream_options"] = Value::Null;
        let complete = without_ids(api.create(&complete_request).await?);
        assert_eq!(complete, without_ids(events[events.len() - 1]["response"].clone()));
    }
    assert_eq!(api.fake.scripts_left(), 0);
    Ok(())
}

/// The response without its random ids and its times.
fn without_ids(mut response: Value) -> Value {
    for item in response["output"].as_array_mut().into_iter().flatten() {
        item["id"] = Value::Null;
    }
    for name in ["id", "created_at", "completed_at"] {
        response[name] = Value::Null;
    }
    response
}

#[tokio::test]
async fn every_end_has_its_events() -> Result<()> {
    let api = Api::start().await?;
    let script = || Script::new().deltas(["You ", "owe"]);
    let error = |shape, then_failed| {
        let (code, message) = ("rate_limit_exceeded".to_owned(), "Too many.".to_owned());
        End::Error { shape, code, message, then_failed }
    };
    let open = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
    ];
    let closed = ["output_text.done", "content_part.done", "output_item.done"];
    let rows: [(End, &[&str], &[&str]); 6] = [
        (End::Incomplete(IncompleteReason::MaxOutputTokens), &closed, &["incomplete"]),
        (End::Incomplete(IncompleteReason::ContentFilter), &closed, &["incomplete"]),
        (End::Failed { code: "server_error".to_owned(), message: "Failed.".to_owned() }, &[], &["failed"]),
        (error(ErrorShape::Flat, false), &[], &["error"]),
        (error(ErrorShape::Nested, true), &[], &["error", "failed"]),
        (End::Truncated, &[], &[]),
    ];
    for (end, finished, last) in rows {
        api.fake.script(script().end(end.clone()));
        let events = api.stream(&request()).await?;
        assert_eq!(types(&events), [&open[..], finished, last].concat(), "{end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn ends_have_their_details() -> Result<()> {
    let api = Api::start().await?;
    let script = || Script::new().text("You owe");
    let last = async |script: Script| -> Result<Value> {
        api.fake.script(script);
        api.stream(&request()).await?.pop().context("no event")
    };
    let incomplete = last(script().end(End::Incomplete(IncompleteReason::ContentFilter))).await?;
    let response = &incomplete["response"];
    assert_eq!(response["incomplete_details"], json!({"reason": "content_filter"}));
    assert_eq!(
        (&response["status"], &response["output"][0]["status"]),
        (&json!("incomplete"), &json!("incomplete"))
    );

    let failed = last(script().failed("rate_limit_exceeded", "Too many.")).await?;
    let response = &failed["response"];
    assert_eq!(response["error"], json!({"code": "rate_limit_exceeded", "message": "Too many."}));
    assert_eq!(
        (&response["status"], &response["usage"], &response["output"]),
        (&json!("failed"), &Value::Null, &json!([]))
    );

    let flat = last(script().error(ErrorShape::Flat, "server_error", "Failed.")).await?;
    let mut expected = json!({"code": "server_error", "message": "Failed.", "param": null});
    (expected["type"], expected["sequence_number"]) = (json!("error"), json!(6));
    assert_eq!(flat, expected);
    let nested = last(script().error(ErrorShape::Nested, "server_error", "Failed.")).await?;
    let error = json!({"type": "server_error", "code": "server_error", "message": "Failed.", "param": null});
    assert_eq!(nested, json!({"type": "error", "error": error, "sequence_number": 6}));
    Ok(())
}

#[tokio::test]
async fn error_of_a_complete_response_is_a_status() -> Result<()> {
    let api = Api::start().await?;
    let rows = [
        ("rate_limit_exceeded", 429, "tokens"),
        ("insufficient_quota", 429, "insufficient_quota"),
        ("server_error", 500, "server_error"),
        ("invalid_prompt", 400, "invalid_request_error"),
    ];
    for (code, status, kind) in rows {
        api.fake.script(Script::new().text("You owe").error(ErrorShape::Nested, code, "Failed."));
        let response = api.post(&body("a")).send().await?;
        assert_eq!(response.status(), status);
        let error = json!({"type": kind, "code": code, "message": "Failed.", "param": null});
        assert_eq!(response.json::<Value>().await?, json!({"error": error}));
    }
    Ok(())
}

#[tokio::test]
async fn end_after_finished_items_keeps_them() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(Script::new().text("First").text("Second").failed("server_error", "Failed."));
    let events = api.stream(&request()).await?;
    let output = &events[events.len() - 1]["response"]["output"];
    assert_eq!(
        (output.as_array().map(Vec::len), &output[0]["content"][0]["text"]),
        (Some(1), &json!("First"))
    );
    Ok(())
}

#[tokio::test]
async fn reasoning_is_summarized_and_encrypted_only_on_request() -> Result<()> {
    let api = Api::start().await?;
    let script = || Script::new().reasoning(["Looking"]).text("12 bills");
    api.fake.script(script());
    let events = api.stream(&body("a")).await?;
    let summaries = types(&events).iter().filter(|kind| kind.starts_with("reasoning_summary")).count();
    let item = &events[events.len() - 1]["response"]["output"][0];
    assert_eq!((summaries, &item["summary"], item.get("encrypted_content")), (0, &json!([]), None));

    let mut encrypted = body("a");
    encrypted["include"] = json!(["reasoning.encrypted_content"]);
    encrypted["store"] = json!(false);
    api.fake.script(script());
    let response = api.create(&encrypted).await?;
    let [reasoning, message] = [0, 1].map(|i| response["output"][i].clone());
    encrypted["input"] =
        json!([{"role": "user", "content": "a"}, reasoning, message, {"role": "user", "content": "b"}]);
    api.create(&encrypted).await?;
    let mut other = reasoning.clone();
    other["id"] = json!("rs_of_another_item");
    encrypted["input"] = json!([other, message]);
    assert_eq!(api.post(&encrypted).send().await?.status(), 400);
    Ok(())
}

#[tokio::test]
async fn deltas_are_padded_by_default() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(Script::new().deltas(["a", "four", "sixteen letters!"]));
    let events = api.stream(&body("a")).await?;
    let deltas: Vec<&Value> = events.iter().filter(|event| event["delta"].is_string()).collect();
    let lengths: Vec<usize> = deltas
        .iter()
        .map(|event| {
            event["delta"].as_str().map_or(0, str::len) + event["obfuscation"].as_str().map_or(0, str::len)
        })
        .collect();
    assert_eq!(lengths, [16, 16, 32]);
    let events = api.stream(&request()).await?;
    assert!(events.iter().all(|event| event.get("obfuscation").is_none()));
    Ok(())
}

#[tokio::test]
async fn scripts_are_used_in_order_by_requests_that_fit() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(Script::new().text("for invoices").when("invoice"));
    api.fake.script(Script::new().text("first"));
    api.fake.script(Script::new().text("second"));
    // An invalid request uses no script.
    api.post(&json!({})).send().await?;
    let mut answers = Vec::new();
    for text in ["Hello", "the invoice", "Hello", "Hello"] {
        answers.push(api.create(&body(text)).await?["output"][0]["content"][0]["text"].take());
    }
    assert_eq!(json!(answers), json!(["first", "for invoices", "second", "You wrote: Hello"]));
    api.fake.set_default_answer(|body| Script::new().text(body["model"].as_str().unwrap_or_default()));
    assert_eq!(api.create(&body("Hello")).await?["output"][0]["content"][0]["text"], "gpt-6-luna");
    Ok(())
}

#[tokio::test]
async fn usage_is_computed_from_bytes_or_scripted() -> Result<()> {
    let api = Api::start().await?;
    let mut request = request();
    request["stream"] = json!(false);
    request["stream_options"] = Value::Null;
    request["instructions"] = json!("Be brief.");
    api.fake.script(Script::new().reasoning(["eight by"]).text("five!").deltas(["four"]));
    // 9 + 15 bytes of input; 8 of reasoning and 9 of text.
    let expected = json!({
        "input_tokens": 3 + 4, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 12,
    });
    assert_eq!(api.create(&request).await?["usage"], expected);
    let usage = Usage { input: 100, cached: 64, output: 20, reasoning: 10 };
    api.fake.script(Script::new().deltas([Delta::from("a")]).usage(usage));
    let expected = json!({
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 120,
    });
    assert_eq!(api.create(&request).await?["usage"], expected);
    Ok(())
}
