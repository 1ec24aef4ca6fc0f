//! OpenAI's Python SDK against the fake: its own types describe every response and every event.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};
use local_stack::model::{Citation, Delta, End, IncompleteReason, MODEL, Part, Quirk, Script, Step};
use serde_json::{Value, json};

use super::super::openai_sdk::driver::{Parsed, Sdk, SdkSettings};
use super::{Api, body};
use crate::support::skip;

/// Optional fields of the SDK's types that the fake does not send: of tools and features that it
/// does not simulate, and those that OpenAI leaves out of an ordinary response.
const OMITTED: [&str; 26] = [
    "access_programs",
    "allowed_callers",
    "async_",
    "cache_write_tokens_details",
    "caller",
    "content",
    "context",
    "conversation",
    "defer_loading",
    "encrypted_content",
    "generate_summary",
    "image",
    "input_transformations",
    "misalignment",
    "mode",
    "moderation",
    "namespace",
    "output_schema",
    "param",
    "phase",
    "prompt",
    "prompt_cache_diagnostics",
    "prompt_cache_options",
    "status",
    "tool_usage",
    "type",
];

/// Fields that OpenAI sends and the SDK's types do not have.
const ADDITIONAL: [&str; 2] = ["obfuscation", "store"];

pub async fn sdk(api: &Api, max_retries: u32) -> Result<Sdk> {
    let settings = SdkSettings {
        base_url: api.fake.base_url(),
        api_key: api.fake.api_key(),
        project: None,
        max_retries,
        timeout: 10.0,
    };
    Ok(Sdk::start(&settings).await?)
}

/// Checks that a value has exactly the fields of the SDK's type.
fn check_exact(parsed: &Parsed) -> Result<()> {
    let names = |paths: &[String], known: &[&str]| -> Vec<String> {
        let is_known = |path: &&String| path.rsplit('.').next().is_some_and(|name| known.contains(&name));
        paths.iter().filter(|path| !is_known(path)).cloned().collect()
    };
    let (unknown, missing) = (names(&parsed.unknown, &ADDITIONAL), names(&parsed.missing, &OMITTED));
    ensure!(
        unknown.is_empty() && missing.is_empty() && parsed.invalid.is_empty(),
        "{}: unknown {unknown:?}, missing {missing:?}, invalid {:?}: {}",
        parsed.class,
        parsed.invalid,
        parsed.ok
    );
    Ok(())
}

/// An answer with every kind of item, part and annotation.
fn everything() -> Script {
    let container = json!({
        "type": "container_file_citation", "container_id": "cntr_1", "file_id": "cfile_1",
        "filename": "a.csv", "start_index": 0, "end_index": 1,
    });
    let citations = vec![
        Citation::Url { url: "https://a".to_owned(), title: "A".to_owned(), start: 0, end: 1 },
        Citation::File { file_id: "file_1".to_owned(), filename: "a.pdf".to_owned(), index: 1 },
        Citation::Raw(container),
        Citation::Raw(json!({"type": "file_path", "file_id": "file_2", "index": 1})),
    ];
    let text = Part::Text(vec![Delta::from("You owe "), Delta::from("€ 4 100.")], citations);
    Script::new()
        .reasoning(["**Looking**", "at bills"])
        .step(Step::Message(vec![text, Part::Refusal(vec![Delta::from("No.")])]))
        .function_call("list_bills", &json!({"due": "today"}))
}

/// A request with many parameters, so that the response repeats them.
fn full_request() -> Value {
    json!({
        "model": MODEL, "input": "What do we owe?", "instructions": "Be brief.",
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
        "metadata": {"thread": "thr_1"}, "safety_identifier": "s", "prompt_cache_key": "k", "store": false,
        "max_output_tokens": 1000, "parallel_tool_calls": false, "text": {"verbosity": "low"},
        "tools": [{
            "type": "function", "name": "list_bills", "strict": true,
            "parameters": {
                "type": "object", "properties": {"due": {"type": "string"}}, "required": ["due"],
                "additionalProperties": false,
            },
        }],
    })
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn sdk_types_describe_the_response() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        for request in [full_request(), body("Hello")] {
            for script in [
                everything(),
                everything().end(End::Incomplete(IncompleteReason::MaxOutputTokens)),
                everything().end(End::Incomplete(IncompleteReason::ContentFilter)),
                everything().failed("server_error", "Failed."),
            ] {
                api.fake.script(script);
                let parsed = sdk.call("responses.create", json!([]), request.clone()).await?;
                let parsed = parsed.map_err(|error| anyhow!("{error:?}"))?;
                assert_eq!(parsed.class, "Response");
                check_exact(&parsed)?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn sdk_types_describe_every_event() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        let mut classes = BTreeSet::new();
        let incomplete = everything().end(End::Incomplete(IncompleteReason::ContentFilter));
        for script in [everything(), incomplete, everything().failed("server_error", "Failed.")] {
            for request in [full_request(), body("Hello")] {
                api.fake.script(script.clone());
                let (events, error) = sdk.stream("responses.create", streamed(request)).await?;
                ensure!(error.is_none(), "{error:?}");
                for event in &events {
                    check_exact(event)?;
                    classes.insert(event.class.clone());
                }
                let sent = api.last_request()?.events;
                assert_eq!(events.len(), sent);
            }
        }
        let expected = [
            "ResponseCompletedEvent",
            "ResponseContentPartAddedEvent",
            "ResponseContentPartDoneEvent",
            "ResponseCreatedEvent",
            "ResponseFailedEvent",
            "ResponseFunctionCallArgumentsDeltaEvent",
            "ResponseFunctionCallArgumentsDoneEvent",
            "ResponseInProgressEvent",
            "ResponseIncompleteEvent",
            "ResponseOutputItemAddedEvent",
            "ResponseOutputItemDoneEvent",
            "ResponseOutputTextAnnotationAddedEvent",
            "ResponseReasoningSummaryPartAddedEvent",
            "ResponseReasoningSummaryPartDoneEvent",
            "ResponseReasoningSummaryTextDeltaEvent",
            "ResponseReasoningSummaryTextDoneEvent",
            "ResponseRefusalDeltaEvent",
            "ResponseRefusalDoneEvent",
            "ResponseTextDeltaEvent",
            "ResponseTextDoneEvent",
        ];
        assert_eq!(classes.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn sdk_sends_requests_that_the_fake_accepts() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        api.fake.script(everything());
        let first = sdk.call("responses.create", json!([]), full_request()).await?;
        let first = first.map_err(|error| anyhow!("{error:?}"))?.ok;
        // The SDK's user appends the output to the input.
        let mut next = full_request();
        let mut input = vec![json!({"role": "user", "content": "What do we owe?"})];
        input.extend(first["output"].as_array().into_iter().flatten().cloned());
        let call_id = &first["output"][2]["call_id"];
        input.push(json!({"type": "function_call_output", "call_id": call_id, "output": "12 bills"}));
        next["input"] = json!(input);
        let second = sdk.call("responses.create", json!([]), next.clone()).await?;
        ensure!(second.is_ok(), "{second:?}");
        assert_eq!(api.last_request()?.body, next);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn sdk_tolerates_frames_of_other_servers() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        for quirk in [
            Quirk::DoneMarker,
            Quirk::NoEventLines,
            Quirk::KeepAliveComments,
            Quirk::CarriageReturns,
            Quirk::SplitChunks,
            Quirk::NoReasoningEvents,
            Quirk::NoAnnotationEvents,
            Quirk::FakeIds,
        ] {
            api.fake.set_quirks([quirk]);
            api.fake.script(everything());
            let (events, error) = sdk.stream("responses.create", streamed(full_request())).await?;
            ensure!(error.is_none(), "{quirk:?}: {error:?}");
            events.iter().try_for_each(check_exact)?;
            assert_eq!(
                events.last().map(|event| event.class.as_str()),
                Some("ResponseCompletedEvent"),
                "{quirk:?}"
            );
        }
        Ok(())
    })
    .await
}
