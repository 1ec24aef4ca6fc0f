//! Faults before and in the stream, as clients observe them.

use std::time::{Duration, Instant};

use anyhow::Result;
use local_stack::http::RandomFault;
use local_stack::model::{End, Fault, Progress, Script};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Api, body, types};

#[tokio::test]
async fn error_faults_have_openai_envelopes() -> Result<()> {
    let api = Api::start().await?;
    let rows = [
        (Fault::rate_limited(), 429, "tokens", Some("rate_limit_exceeded")),
        (Fault::insufficient_quota(), 429, "insufficient_quota", Some("insufficient_quota")),
        (Fault::server_error(), 500, "server_error", None),
        (Fault::overloaded(), 503, "server_error", Some("server_is_overloaded")),
        (
            Fault::status(403, Some("unsupported_country")),
            403,
            "invalid_request_error",
            Some("unsupported_country"),
        ),
        (Fault::status(504, None), 504, "server_error", None),
    ];
    api.fake.script(Script::new().text("not used by a fault"));
    for (fault, status, kind, code) in rows {
        let fault = api
            .fake
            .add_fault(fault.retry_after("7").retry_after_ms("31536000000").should_retry(false).times(1));
        let response = api.post(&body("a")).send().await?;
        assert_eq!(response.status(), status);
        super::check_headers(&response)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let found = ["retry-after", "retry-after-ms", "x-should-retry"].map(header);
        assert_eq!(found, ["7", "31536000000", "false"].map(|value| Some(value.to_owned())));
        let error: Value = response.json().await?;
        assert_eq!((&error["error"]["type"], &error["error"]["code"]), (&json!(kind), &json!(code)));
        let request = api.last_request()?;
        assert_eq!(
            (request.status, request.progress, request.response_id),
            (Some(status), Progress::Finished, None)
        );
        assert_eq!(api.fake.hits(fault), 1);
    }
    assert_eq!(
        (api.fake.scripts_left(), api.create(&body("a")).await?["status"].take()),
        (1, json!("completed"))
    );
    Ok(())
}

#[tokio::test]
async fn responses_of_proxies_replace_those_of_the_model() -> Result<()> {
    let api = Api::start().await?;
    let rows = [
        (Fault::html(502), 502, "text/html"),
        (Fault::html(200), 200, "text/html"),
        (Fault::response(200, "application/json", "{\"id\": 7}"), 200, "application/json"),
        (Fault::response(200, "text/event-stream", ""), 200, "text/event-stream"),
    ];
    for (fault, status, content_type) in rows {
        api.fake.add_fault(fault.times(1));
        let mut body = body("a");
        body["stream"] = json!(true);
        let response = api.post(&body).send().await?;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (status, &content_type.parse()?)
        );
        assert!(!response.text().await?.contains("response.created"));
    }
    Ok(())
}

#[tokio::test]
async fn connection_faults_prevent_a_response() -> Result<()> {
    let api = Api::start().await?;
    let delay = Duration::from_millis(60);
    api.fake.add_fault(Fault::slow(delay).times(1));
    let started = Instant::now();
    api.create(&body("a")).await?;
    assert!(started.elapsed() >= delay);

    api.fake.add_fault(Fault::reset().times(1));
    let error = api.post(&body("a")).send().await.err().map(|error| format!("{error:?}")).unwrap_or_default();
    assert!(error.contains("ConnectionReset"), "{error}");
    assert_eq!(api.last_request()?.status, None);

    let hang = api.fake.add_fault(Fault::hang());
    assert!(timeout(Duration::from_millis(100), api.post(&body("a")).send()).await.is_err());
    assert_eq!(api.fake.hits(hang), 1);
    api.fake.clear(hang);
    api.create(&body("a")).await?;
    Ok(())
}

#[tokio::test]
async fn faults_choose_requests_by_text_count_and_chance() -> Result<()> {
    let api = Api::start().await?;
    let invoices = api.fake.add_fault(Fault::server_error().when("invoice"));
    let sometimes = api.fake.add_fault(Fault::overloaded().random(RandomFault::new(0.5, 7)));
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(api.post(&body("a")).send().await?.status().as_u16());
    }
    assert_eq!(api.post(&body("an invoice")).send().await?.status(), 500);
    assert_eq!(api.fake.hits(invoices), 1);
    let failed = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!(usize::try_from(api.fake.hits(sometimes))?, failed);
    assert!((8..32).contains(&failed), "{statuses:?}");
    api.fake.clear_faults();
    api.create(&body("an invoice")).await?;
    Ok(())
}

#[tokio::test]
async fn end_after_replaces_the_end_of_any_answer() -> Result<()> {
    let api = Api::start().await?;
    let open = ["created", "in_progress", "output_item.added", "content_part.added"];
    let failed = || End::Failed { code: "rate_limit_exceeded".to_owned(), message: "Too many.".to_owned() };
    for (deltas, end, expected) in [
        (0, failed(), vec!["created", "in_progress", "failed"]),
        (2, failed(), [&open[..], &["output_text.delta", "output_text.delta", "failed"]].concat()),
        (9, failed(), [&open[..], &["output_text.delta"; 3], &["failed"]].concat()),
        (1, End::Truncated, [&open[..], &["output_text.delta"]].concat()),
    ] {
        api.fake.add_fault(Fault::end_after(deltas, end).times(1));
        let events = api.stream(&body("a")).await?;
        assert_eq!(types(&events), expected, "after {deltas}");
    }
    assert_eq!(types(&api.stream(&body("a")).await?).last(), Some(&"completed"));
    Ok(())
}
