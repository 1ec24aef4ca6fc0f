//! The limits of input and output tokens.

use anyhow::Result;
use local_stack::model::{FakeModel, MODEL, Model, Script, Settings, count_tokens};
use serde_json::{Value, json};

use super::{Api, body, check_rejection, types, user};

async fn with_context(tokens: u64, reports_overflow_in_stream: bool) -> Result<Api> {
    let models = vec![Model::reasoning(MODEL).context_tokens(tokens)];
    let settings = Settings { models, reports_overflow_in_stream, ..Settings::default() };
    Ok(Api { fake: FakeModel::start(settings).await? })
}

#[tokio::test]
async fn input_longer_than_the_context_is_rejected() -> Result<()> {
    let api = with_context(5, false).await?;
    let expected = (400, Some("context_length_exceeded"), Some("input"));
    let message =
        "Your input exceeds the context window of this model. Please adjust your input and try again.";
    let longest = "x".repeat(20);
    assert_eq!((count_tokens(&longest), count_tokens("")), (5, 0));
    api.create(&body(longest.as_str())).await?;
    api.create(&body(json!([user(&longest)]))).await?;
    let mut instructed = body(longest.as_str());
    instructed["instructions"] = json!("x");
    let mut streamed = body("x".repeat(21));
    streamed["stream"] = json!(true);
    let too_long = [body("x".repeat(21)), body(json!([user(&longest), user("x")])), instructed, streamed];
    for too_long in too_long {
        let case = too_long.to_string();
        assert_eq!(check_rejection(&case, api.post(&too_long), expected).await?, message);
    }
    let mut truncated = body("x".repeat(21));
    truncated["truncation"] = json!("auto");
    assert_eq!(api.create(&truncated).await?["usage"]["input_tokens"], 5);
    Ok(())
}

#[tokio::test]
async fn stream_can_report_an_input_that_is_too_long() -> Result<()> {
    let api = with_context(5, true).await?;
    let too_long = body("x".repeat(21));
    let expected = (400, Some("context_length_exceeded"), Some("input"));
    check_rejection("not streamed", api.post(&too_long), expected).await?;
    let events = api.stream(&too_long).await?;
    assert_eq!(types(&events), ["created", "in_progress", "error", "failed"]);
    for error in [&events[2]["error"], &events[3]["response"]["error"]] {
        assert_eq!(error["code"], "context_length_exceeded");
    }
    Ok(())
}

#[tokio::test]
async fn answer_ends_at_max_output_tokens() -> Result<()> {
    let api = Api::start().await?;
    let limited = |tokens: u64| {
        let mut body = body("a");
        body["max_output_tokens"] = json!(tokens);
        body
    };
    // 64 bytes; the limit is inside a character of three bytes.
    let rows = [
        (Script::new().text(&"x".repeat(64)), "completed", "x".repeat(64)),
        (Script::new().text(&"x".repeat(65)), "incomplete", "x".repeat(64)),
        (Script::new().text(&("x".repeat(60) + "€€")), "incomplete", "x".repeat(60) + "€"),
        (
            Script::new().deltas(["x".repeat(40), "y".repeat(40), "z".to_owned()]),
            "incomplete",
            format!("{}{}", "x".repeat(40), "y".repeat(24)),
        ),
    ];
    for (script, status, text) in rows {
        api.fake.script(script);
        let response = api.create(&limited(16)).await?;
        let item = &response["output"][0];
        assert_eq!((&response["status"], &item["status"]), (&json!(status), &json!(status)));
        assert_eq!(item["content"][0]["text"], text);
        let reason = &response["incomplete_details"]["reason"];
        assert_eq!(reason, &if status == "completed" { Value::Null } else { json!("max_output_tokens") });
        assert_eq!(response["usage"]["output_tokens"], 16);
    }
    // Reasoning counts, and nothing follows the limit.
    api.fake.script(Script::new().reasoning([&*"x".repeat(70)]).text("never"));
    let mut summarized = limited(16);
    summarized["reasoning"] = json!({"summary": "auto"});
    let response = api.create(&summarized).await?;
    assert_eq!(
        (&response["status"], response["output"].as_array().map(Vec::len)),
        (&json!("incomplete"), Some(1))
    );
    // Arguments can be cut, too.
    api.fake.script(Script::new().function_call("pay", &json!({"note": "x".repeat(70)})));
    let response = api.create(&limited(16)).await?;
    let arguments = response["output"][0]["arguments"].as_str().unwrap_or_default();
    assert_eq!((arguments.len(), &response["output"][0]["status"]), (64, &json!("incomplete")));
    Ok(())
}
