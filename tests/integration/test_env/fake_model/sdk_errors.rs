//! The exceptions and repeats of OpenAI's Python SDK after errors of the fake.

use anyhow::{Context, Result, ensure};
use local_stack::model::{End, ErrorShape, Fault, Script};
use serde_json::{Value, json};

use super::sdk::sdk;
use super::{Api, body};
use crate::support::skip;

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn rejections_raise_sdk_exceptions() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        let with = |name: &str, value: Value| {
            let mut body = body("Hello");
            body[name] = value;
            body
        };
        let unknown_key = with("extra_headers", json!({"Authorization": "Bearer sk-unknown"}));
        let open_call = json!([{"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"}]);
        let rows = [
            (
                with("extra_body", json!({"seed": 7})),
                "BadRequestError",
                400,
                Some("unknown_parameter"),
                Some("seed"),
            ),
            (
                with("max_output_tokens", json!(1)),
                "BadRequestError",
                400,
                Some("integer_below_min_value"),
                Some("max_output_tokens"),
            ),
            (with("input", open_call), "BadRequestError", 400, None, Some("input")),
            (with("model", json!("gpt-9")), "NotFoundError", 404, Some("model_not_found"), Some("model")),
            (unknown_key, "AuthenticationError", 401, Some("invalid_api_key"), None),
        ];
        for (body, class, status, code, param) in rows {
            for body in [body.clone(), streamed(body)] {
                let error = if body["stream"] == true {
                    sdk.stream("responses.create", body).await?.1
                } else {
                    sdk.call("responses.create", json!([]), body).await?.err()
                };
                let error = error.context("the SDK raised no exception")?;
                let found =
                    (error.class.as_str(), error.status, error.code.as_deref(), error.param.as_deref());
                assert_eq!(found, (class, Some(status), code, param), "{error:?}");
                assert_eq!(error.request_id, Some(api.last_request()?.request_id));
                assert_eq!(error.r#type.as_deref(), Some("invalid_request_error"));
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn faults_raise_sdk_exceptions() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        let rows = [
            (Fault::rate_limited(), "RateLimitError", Some("rate_limit_exceeded")),
            (Fault::insufficient_quota(), "RateLimitError", Some("insufficient_quota")),
            (Fault::server_error(), "InternalServerError", None),
            (Fault::overloaded(), "InternalServerError", Some("server_is_overloaded")),
            (Fault::html(502), "InternalServerError", None),
            (Fault::reset(), "APIConnectionError", None),
        ];
        for (fault, class, code) in rows {
            api.fake.add_fault(fault.times(1));
            let (events, error) = sdk.stream("responses.create", streamed(body("a"))).await?;
            let error = error.context("the SDK raised no exception")?;
            assert_eq!(
                (events.len(), error.class.as_str(), error.code.as_deref()),
                (0, class, code),
                "{error:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn broken_streams_raise_sdk_exceptions_after_their_events() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 0).await?;
        let error = |shape| {
            let (code, message) = ("rate_limit_exceeded".to_owned(), "Too many.".to_owned());
            End::Error { shape, code, message, then_failed: false }
        };
        // The last event of the SDK, and its exception.
        let rows = [
            (End::Reset, "ResponseTextDeltaEvent", Some("APIConnectionError")),
            (End::Disconnect, "ResponseTextDeltaEvent", Some("APIConnectionError")),
            (End::Truncated, "ResponseTextDeltaEvent", None),
            (error(ErrorShape::Nested), "ResponseTextDeltaEvent", Some("APIError")),
            (error(ErrorShape::Flat), "ResponseErrorEvent", None),
        ];
        for (end, class, exception) in rows {
            api.fake.script(Script::new().deltas(["You ", "owe"]).end(end.clone()));
            let (events, error) = sdk.stream("responses.create", streamed(body("a"))).await?;
            let last = events.last().context("no events")?;
            assert_eq!(last.class, class, "{end:?}");
            assert_eq!(error.as_ref().map(|error| error.class.as_str()), exception, "{end:?}: {error:?}");
            if class == "ResponseErrorEvent" {
                ensure!(last.invalid.is_empty() && last.missing.is_empty(), "{last:?}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn sdk_retries_only_retryable_failures() -> Result<()> {
    skip::with_tools(async {
        let api = Api::start().await?;
        let mut sdk = sdk(&api, 2).await?;
        let rows = [
            ("429", Fault::rate_limited().retry_after_ms("1"), 3),
            ("500", Fault::server_error().retry_after_ms("1"), 3),
            ("503", Fault::overloaded().retry_after_ms("1"), 3),
            ("an HTML page", Fault::html(502).retry_after_ms("1"), 3),
            ("403", Fault::status(403, None).retry_after_ms("1"), 1),
            ("a wait of a year", Fault::rate_limited().retry_after("31536000"), 1),
            ("x-should-retry: false", Fault::server_error().should_retry(false), 1),
        ];
        for (case, fault, attempts) in rows {
            let fault = api.fake.add_fault(fault);
            let (_, error) = sdk.stream("responses.create", streamed(body("a"))).await?;
            ensure!(error.is_some(), "{case}: no exception");
            assert_eq!(api.fake.hits(fault), attempts, "{case}");
            api.fake.clear(fault);
        }
        let fault = api.fake.add_fault(Fault::rate_limited().retry_after_ms("1").times(1));
        let (events, error) = sdk.stream("responses.create", streamed(body("a"))).await?;
        assert_eq!((error, api.fake.hits(fault)), (None, 1));
        assert_eq!(events.last().map(|event| event.class.as_str()), Some("ResponseCompletedEvent"));
        Ok(())
    })
    .await
}
