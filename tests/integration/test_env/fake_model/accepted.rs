//! Requests that OpenAI accepts: the fake is not stricter than it states.

use anyhow::Result;
use local_stack::model::{MODEL, Script, last_user_text};
use serde_json::{Map, Value, json};

use super::{Api, body, types};

/// The requests of OpenAI's Agents SDK for a turn with a call.
fn agents_sdk_requests(reasoning: &Value, call: &Value) -> [Value; 2] {
    let question = json!({
        "role": "user", "type": "message", "content": [{"type": "input_text", "text": "What do we owe?"}],
    });
    let tool = json!({
        "name": "list_bills", "type": "function", "description": "", "strict": true,
        "parameters": {
            "properties": {"due": {"title": "Due", "type": "string"}}, "required": ["due"],
            "title": "list_bills_args", "type": "object", "additionalProperties": false,
        },
    });
    let request = |input: Value| {
        json!({
            "model": MODEL, "stream": true, "include": [], "input": input, "instructions": "Be brief.",
            "tools": [tool], "reasoning": {"summary": "auto"},
        })
    };
    let result =
        json!({"call_id": call["call_id"], "output": "12 bills, EUR 4 100", "type": "function_call_output"});
    [request(json!([question])), request(json!([question, reasoning, call, result]))]
}

#[tokio::test]
async fn requests_of_the_agents_sdk_are_accepted() -> Result<()> {
    let api = Api::start().await?;
    api.fake.script(
        Script::new()
            .reasoning(["**Looking at bills**"])
            .function_call("list_bills", &json!({"due": "today"})),
    );
    let [first, _] = agents_sdk_requests(&Value::Null, &Value::Null);
    let events = api.stream(&first).await?;
    let output = &events[events.len() - 1]["response"]["output"];
    let [_, second] = agents_sdk_requests(&output[0], &output[1]);
    let events = api.stream(&second).await?;
    assert_eq!(types(&events).last(), Some(&"completed"));
    assert_eq!(api.last_request()?.body, second);
    Ok(())
}

#[tokio::test]
async fn every_parameter_at_its_limit_is_accepted() -> Result<()> {
    let api = Api::start().await?;
    let metadata: Map<String, Value> =
        (0..16).map(|i| (format!("{i:0>64}"), json!("v".repeat(512)))).collect();
    let parameters = json!({
        "model": MODEL, "input": "Hello", "instructions": "Be brief.", "max_output_tokens": 16,
        "max_tool_calls": 1, "metadata": metadata, "parallel_tool_calls": false,
        "prompt_cache_key": "k".repeat(64), "prompt_cache_retention": "24h",
        "reasoning": {"effort": "xhigh", "summary": "detailed"},
        "safety_identifier": "s".repeat(128), "service_tier": "flex", "store": false, "top_logprobs": 0,
        "text": {
            "format": {"type": "json_schema", "name": "a", "schema": {}, "strict": true},
            "verbosity": "low",
        },
        "tool_choice": "auto", "tools": [], "truncation": "auto", "user": "u",
    });
    let response = api.create(&parameters).await?;
    for name in parameters.as_object().into_iter().flat_map(Map::keys).filter(|name| *name != "input") {
        assert_eq!(response[name], parameters[name], "{name}");
    }
    // Null is the same as no value.
    let names = [
        "instructions",
        "max_output_tokens",
        "metadata",
        "reasoning",
        "include",
        "store",
        "stream",
        "temperature",
        "user",
        "previous_response_id",
        "background",
    ];
    let mut nulls = body("Hello");
    names.iter().for_each(|name| nulls[*name] = Value::Null);
    let response = api.create(&nulls).await?;
    assert_eq!(
        (&response["metadata"], &response["store"], &response["temperature"]),
        (&json!({}), &json!(true), &json!(1.0))
    );
    Ok(())
}

#[tokio::test]
async fn every_form_of_a_message_is_accepted() -> Result<()> {
    let api = Api::start().await?;
    let citation =
        json!({"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 1});
    let file = json!({"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 1});
    let items = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello"},
        {"type": "message", "role": "assistant", "content": "Hello"},
        {
            "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "phase": "final_answer",
            "content": [
                {"type": "output_text", "text": "a", "annotations": [citation, file], "logprobs": []},
                {"type": "refusal", "refusal": "No."},
            ],
        },
        {
            "type": "function_call", "id": "fc_1", "call_id": "c1", "name": "a", "arguments": "{}",
            "status": "completed",
        },
        {
            "type": "function_call_output", "id": "fco_1", "call_id": "c1",
            "output": [{"type": "input_text", "text": "a"}],
        },
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is "},
                {"type": "input_image", "image_url": "https://a", "detail": "auto"},
                {"type": "input_file", "file_id": "file_1"},
                {"type": "input_text", "text": "this?"},
            ],
        },
    ]);
    let response = api.create(&body(items)).await?;
    assert_eq!(response["output"][0]["content"][0]["text"], "You wrote: What is this?");
    assert_eq!(last_user_text(&api.last_request()?.body), "What is this?");
    Ok(())
}
