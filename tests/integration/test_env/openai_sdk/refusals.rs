//! What the SDK makes of refusals and failures.

use anyhow::{Context, Result};
use local_stack::openai::{Fault, On};
use serde_json::{Value, json};

use super::{KEY, last, sdk, standin};

// NAME: SDK: refusals arrive as the SDK's exceptions
/// Every refusal arrives as the exception that the SDK has for it, with code, parameter, type and request id.
#[tokio::test]
async fn refusals_arrive_as_the_sdks_exceptions() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 0).await?;
    let good = json!({"user": "a user", "workflow": {"id": "wf_1"}});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
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
        let raised = sdk.call("sessions.create", json!([]), body).await?.err().context("no exception")?;
        let got = (raised.class.as_str(), raised.status, raised.code.as_deref(), raised.param.as_deref());
        assert_eq!(got, (class, Some(status), code, param), "{raised:?}");
        let request_id = last(&standin, On::CreateSession)?.request_id;
        assert_eq!((raised.r#type.as_deref(), raised.request_id), (Some(invalid), Some(request_id)));
    }
    let stranger = json!({"extra_headers": {"Authorization": "Bearer sk-unknown-to-everybody"}});
    let raised = sdk.call("threads.list", json!([]), stranger).await?.err().context("no exception")?;
    assert_eq!(
        (raised.class.as_str(), raised.code.as_deref()),
        ("AuthenticationError", Some("invalid_api_key"))
    );

    let faults = [
        (Fault::new(On::ListThreads).status(403), "PermissionDeniedError"),
        (Fault::new(On::ListThreads).status(409), "ConflictError"),
        (Fault::new(On::ListThreads).status(429), "RateLimitError"),
        (Fault::new(On::ListThreads).status(500), "InternalServerError"),
        (Fault::new(On::ListThreads).status(503), "InternalServerError"),
        (Fault::new(On::ListThreads).reset_after(), "APIConnectionError"),
        (Fault::new(On::ListThreads).cut_body(), "APIConnectionError"),
    ];
    for (fault, class) in faults {
        standin.fault(fault.times(1));
        let raised = sdk.call("threads.list", json!([]), json!({})).await?.err().context("no exception")?;
        assert_eq!(raised.class, class, "{raised:?}");
    }
    Ok(())
}
