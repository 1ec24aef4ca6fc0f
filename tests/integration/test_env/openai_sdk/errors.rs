//! The exceptions that error responses and broken connections raise in the SDK.

use anyhow::{Context, Result};
use local_stack::openai::{Fault, Operation};
use serde_json::{Value, json};

use super::{KEY, last, sdk, start_fake};
use crate::support::skip;

#[tokio::test]
async fn error_responses_raise_sdk_exceptions() -> Result<()> {
    skip::with_tools(async {
        let fake = start_fake().await?;
        let mut sdk = sdk(&fake, KEY, 0).await?;
        let valid = json!({"user": "a user", "workflow": {"id": "wf_1"}});
        let with = |name: &str, value: Value| {
            let mut body = valid.clone();
            body[name] = value;
            body
        };
        let invalid = "invalid_request_error";
        let long = with("expires_after", json!({"anchor": "created_at", "seconds": 601}));
        let unknown = with("extra_body", json!({"metadata": {}}));
        let other_beta = with("extra_headers", json!({"OpenAI-Beta": "chatkit_beta=v2"}));
        let rows = [
            (long, "BadRequestError", 400, Some("integer_above_max_value"), Some("expires_after.seconds")),
            (unknown, "BadRequestError", 400, Some("unknown_parameter"), Some("metadata")),
            (other_beta, "BadRequestError", 400, Some("invalid_beta"), None),
            (with("workflow", json!({"id": "wf_9"})), "NotFoundError", 404, None, None),
        ];
        for (body, class, status, code, param) in rows {
            let error = sdk
                .call("sessions.create", json!([]), body)
                .await?
                .err()
                .context("the SDK raised no exception")?;
            let found = (error.class.as_str(), error.status, error.code.as_deref(), error.param.as_deref());
            assert_eq!(found, (class, Some(status), code, param), "{error:?}");
            let request_id = last(&fake, Operation::CreateSession)?.request_id;
            assert_eq!((error.r#type.as_deref(), error.request_id), (Some(invalid), Some(request_id)));
        }
        let unknown_key = json!({"extra_headers": {"Authorization": "Bearer sk-unknown-to-openai"}});
        let error = sdk
            .call("threads.list", json!([]), unknown_key)
            .await?
            .err()
            .context("the SDK raised no exception")?;
        assert_eq!(
            (error.class.as_str(), error.code.as_deref()),
            ("AuthenticationError", Some("invalid_api_key"))
        );

        let faults = [
            (Fault::new(Operation::ListThreads).status(403), "PermissionDeniedError"),
            (Fault::new(Operation::ListThreads).status(409), "ConflictError"),
            (Fault::new(Operation::ListThreads).status(429), "RateLimitError"),
            (Fault::new(Operation::ListThreads).status(500), "InternalServerError"),
            (Fault::new(Operation::ListThreads).status(503), "InternalServerError"),
            (Fault::new(Operation::ListThreads).reset_after(), "APIConnectionError"),
            (Fault::new(Operation::ListThreads).cut_body(), "APIConnectionError"),
        ];
        for (fault, class) in faults {
            fake.add_fault(fault.times(1));
            let error = sdk
                .call("threads.list", json!([]), json!({}))
                .await?
                .err()
                .context("the SDK raised no exception")?;
            assert_eq!(error.class, class, "{error:?}");
        }
        Ok(())
    })
    .await
}
