//! The headers and parameters that OpenAI rejects.

use anyhow::{Result, ensure};
use http_client::{Method, StatusCode};
use local_stack::model::{FakeModel, MODEL, Model, Settings};
use serde_json::{Map, Value, json};

use super::{Api, PLAIN_MODEL, body, check_rejection};

const MISSING: &str = "missing_required_parameter";
const KIND: &str = "invalid_type";
const UNKNOWN: &str = "unknown_parameter";
const VALUE: &str = "invalid_value";
const LONG: &str = "string_above_max_length";
const UNSUPPORTED: &str = "unsupported_parameter";

#[tokio::test]
async fn invalid_headers_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let valid = body("Hello");
    let post = || api.bare(Method::POST, "/responses").json(&valid);
    let keyed = || api.bare(Method::POST, "/responses").bearer_auth(api.fake.api_key());
    let rows = [
        ("no key", post(), (401, None, None)),
        ("a key without a scheme", post().header("Authorization", api.fake.api_key()), (401, None, None)),
        ("basic authentication", post().basic_auth("u", Some(api.fake.api_key())), (401, None, None)),
        ("an empty key", post().header("Authorization", "Bearer "), (401, None, None)),
        ("an unknown key", post().bearer_auth("sk-unknown-to-openai"), (401, Some("invalid_api_key"), None)),
        ("no content type", keyed().body("{}"), (400, Some("unsupported_content_type"), None)),
        (
            "another content type",
            keyed().header("Content-Type", "text/plain").body(valid.to_string()),
            (400, Some("unsupported_content_type"), None),
        ),
        (
            "a truncated body",
            keyed().header("Content-Type", "application/json").body("{\"model\": "),
            (400, None, None),
        ),
        ("an array", keyed().json(&json!([])), (400, Some(KIND), Some(""))),
        ("a query", api.post(&valid).query(&[("dry_run", "1")]), (400, Some(UNKNOWN), Some("dry_run"))),
        ("an unknown URL", api.bare(Method::POST, "/response"), (404, None, None)),
        ("a URL of another API", api.bare(Method::POST, "/chat/completions"), (404, None, None)),
        ("another method", api.bare(Method::GET, "/responses"), (405, Some("method_not_supported"), None)),
    ];
    for (case, request, expected) in rows {
        let message = check_rejection(case, request, expected).await?;
        ensure!(!message.contains("unknown-to"), "{case}: the message contains the key: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn revoked_key_is_rejected() -> Result<()> {
    let api = Api::start().await?;
    let request = api.post(&body("Hello"));
    api.fake.replace_api_key("sk-another");
    check_rejection("a revoked key", request, (401, Some("invalid_api_key"), None)).await?;
    api.create(&body("Hello")).await?;
    Ok(())
}

#[tokio::test]
async fn invalid_parameters_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let pairs =
        |count: usize| -> Map<String, Value> { (0..count).map(|i| (format!("k{i}"), json!("v"))).collect() };
    let long_key = Map::from_iter([("k".repeat(65), json!("v"))]);
    let (low, high) = ("integer_below_min_value", "integer_above_max_value");
    let rows = [
        ("model", Value::Null, KIND, "model"),
        ("model", json!(7), KIND, "model"),
        ("input", Value::Null, KIND, "input"),
        ("input", json!(7), KIND, "input"),
        ("input", json!([]), "empty_array", "input"),
        ("input", json!("x".repeat(10_485_761)), LONG, "input"),
        ("messages", json!([]), UNKNOWN, "messages"),
        ("max_tokens", json!(100), UNKNOWN, "max_tokens"),
        ("response_format", json!({}), UNKNOWN, "response_format"),
        ("instructions", json!(["Be brief."]), KIND, "instructions"),
        ("stream", json!("yes"), KIND, "stream"),
        ("stream_options", json!({"include_obfuscation": false}), VALUE, "stream_options"),
        ("store", json!("no"), KIND, "store"),
        ("max_output_tokens", json!(15), low, "max_output_tokens"),
        ("max_output_tokens", json!(-1), low, "max_output_tokens"),
        ("max_output_tokens", json!(16.5), KIND, "max_output_tokens"),
        ("max_output_tokens", json!("16"), KIND, "max_output_tokens"),
        ("max_tool_calls", json!(0), low, "max_tool_calls"),
        ("parallel_tool_calls", json!(1), KIND, "parallel_tool_calls"),
        ("include", json!("reasoning.encrypted_content"), KIND, "include"),
        ("include", json!(["reasoning.text"]), VALUE, "include[0]"),
        ("include", json!(["reasoning.encrypted_content", 7]), KIND, "include[1]"),
        ("reasoning", json!("low"), KIND, "reasoning"),
        ("reasoning", json!({"effort": "ultra"}), VALUE, "reasoning.effort"),
        ("reasoning", json!({"effort": 3}), KIND, "reasoning.effort"),
        ("reasoning", json!({"summary": "long"}), VALUE, "reasoning.summary"),
        ("reasoning", json!({"generate_summary": "long"}), VALUE, "reasoning.generate_summary"),
        ("reasoning", json!({"context": "none"}), VALUE, "reasoning.context"),
        ("reasoning", json!({"max_tokens": 7}), UNKNOWN, "reasoning.max_tokens"),
        ("metadata", json!([]), KIND, "metadata"),
        ("metadata", json!(pairs(17)), "object_above_max_properties", "metadata"),
        ("metadata", json!(long_key), LONG, "metadata"),
        ("metadata", json!({"a": 7}), KIND, "metadata.a"),
        ("metadata", json!({"a": "v".repeat(513)}), LONG, "metadata.a"),
        ("safety_identifier", json!("s".repeat(129)), LONG, "safety_identifier"),
        ("safety_identifier", json!(7), KIND, "safety_identifier"),
        ("prompt_cache_key", json!("s".repeat(65)), LONG, "prompt_cache_key"),
        ("prompt_cache_retention", json!("1h"), VALUE, "prompt_cache_retention"),
        ("service_tier", json!("fastest"), VALUE, "service_tier"),
        ("truncation", json!("middle"), VALUE, "truncation"),
        ("user", json!(7), KIND, "user"),
        ("text", Value::Null, KIND, "text"),
        ("text", json!({"verbosity": "none"}), VALUE, "text.verbosity"),
        ("text", json!({"format": {}}), MISSING, "text.format.type"),
        ("text", json!({"format": {"type": "xml"}}), VALUE, "text.format.type"),
        (
            "text",
            json!({"format": {"type": "json_schema", "name": "a b", "schema": {}}}),
            VALUE,
            "text.format.name",
        ),
        ("text", json!({"format": {"type": "json_schema", "name": "a"}}), MISSING, "text.format.schema"),
        ("temperature", json!(2.1), "decimal_above_max_value", "temperature"),
        ("temperature", json!(-0.1), "decimal_below_min_value", "temperature"),
        ("temperature", json!("1"), KIND, "temperature"),
        ("top_p", json!(1.1), "decimal_above_max_value", "top_p"),
        ("top_logprobs", json!(21), high, "top_logprobs"),
        // A reasoning model does not sample.
        ("temperature", json!(0.5), UNSUPPORTED, "temperature"),
        ("top_p", json!(0.5), UNSUPPORTED, "top_p"),
        ("top_logprobs", json!(5), UNSUPPORTED, "top_logprobs"),
        ("previous_response_id", json!("thread_1"), VALUE, "previous_response_id"),
        ("previous_response_id", json!("resp_1"), "previous_response_not_found", "previous_response_id"),
        // The fake does not simulate these.
        ("background", json!(true), UNSUPPORTED, "background"),
        ("conversation", json!("conv_1"), UNSUPPORTED, "conversation"),
        ("prompt", json!({"id": "pmpt_1"}), UNSUPPORTED, "prompt"),
        ("context_management", json!([{"type": "compaction"}]), UNSUPPORTED, "context_management"),
    ];
    for (name, value, code, param) in rows {
        let mut body = body("Hello");
        body[name] = value.clone();
        let case = format!("{name}: {}", value.to_string().chars().take(80).collect::<String>());
        check_rejection(&case, api.post(&body), (400, Some(code), Some(param))).await?;
    }
    for name in ["model", "input"] {
        let mut body = body("Hello");
        body.as_object_mut().map(|body| body.remove(name));
        check_rejection(name, api.post(&body), (400, Some(MISSING), Some(name))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn messages_are_those_of_openai() -> Result<()> {
    let api = Api::start().await?;
    let rows = [
        (
            "max_output_tokens",
            json!(10),
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but \
             got 10 instead.",
        ),
        (
            "prompt_cache_key",
            json!("s".repeat(70)),
            "Invalid 'prompt_cache_key': string too long. Expected a string with maximum length 64, but \
             got a string with length 70 instead.",
        ),
        (
            "truncation",
            json!("middle"),
            "Invalid value: 'middle'. Supported values are: 'auto' and 'disabled'.",
        ),
        ("max_tokens", json!(7), "Unknown parameter: 'max_tokens'."),
        ("store", json!(7), "Invalid type for 'store': expected a boolean, but got an integer instead."),
        (
            "temperature",
            json!(3),
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        ),
        (
            "reasoning",
            json!({"effort": "x"}),
            "Invalid value: 'x'. Supported values are: 'none', 'minimal', 'low', 'medium', \
             'high', 'xhigh', and 'max'.",
        ),
    ];
    for (name, value, expected) in rows {
        let mut body = body("Hello");
        body[name] = value;
        let error: Value = api.post(&body).send().await?.json().await?;
        assert_eq!(error["error"]["message"], expected);
    }
    Ok(())
}

#[tokio::test]
async fn unknown_model_is_rejected() -> Result<()> {
    let api = Api::start().await?;
    let unknown = json!({"model": "gpt-9", "input": "Hello"});
    let error = (Some("model_not_found"), Some("model"));
    let message = check_rejection("gpt-9", api.post(&unknown), (404, error.0, error.1)).await?;
    assert_eq!(message, "The model `gpt-9` does not exist or you do not have access to it.");

    let settings = Settings { unknown_model_status: StatusCode::BAD_REQUEST, ..Settings::default() };
    let api = Api { fake: FakeModel::start(settings).await? };
    let message = check_rejection("gpt-9", api.post(&unknown), (400, error.0, error.1)).await?;
    assert_eq!(message, "The requested model 'gpt-9' does not exist.");
    Ok(())
}

#[tokio::test]
async fn parameters_of_other_models_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    api.fake.add_model(Model { efforts: vec!["low", "high"], ..Model::reasoning("gpt-6-small") });
    let rows = [
        (PLAIN_MODEL, "reasoning", json!({"effort": "low"}), Some(UNSUPPORTED), "reasoning.effort"),
        (PLAIN_MODEL, "reasoning", json!({"summary": "auto"}), Some(UNSUPPORTED), "reasoning.summary"),
        (PLAIN_MODEL, "include", json!(["reasoning.encrypted_content"]), None, "include"),
        (
            "gpt-6-small",
            "reasoning",
            json!({"effort": "none"}),
            Some("unsupported_value"),
            "reasoning.effort",
        ),
    ];
    for (model, name, value, code, param) in rows {
        let body = json!({"model": model, "input": "Hello", name: value});
        check_rejection(&format!("{model}: {name}"), api.post(&body), (400, code, Some(param))).await?;
    }
    let sampling = json!({"model": PLAIN_MODEL, "input": "Hello", "temperature": 0.5, "top_p": 0.5});
    api.create(&sampling).await?;
    let without_reasoning =
        json!({"model": MODEL, "input": "Hello", "temperature": 0.5, "reasoning": {"effort": "none"}});
    api.create(&without_reasoning).await?;
    Ok(())
}
