use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, future::poll_fn};
use lambda_http::http::HeaderMap;
use serde_json::{Value, json};

use super::*;

const FAILURE: &str = "data: {\"type\":\"error\",\"code\":\"stream.error\",\"allow_retry\":true}\n\n";

/// Does what the field `do` of the body requests.
struct Scripted;

/// Number of streams whose work was completed.
static FINISHED: AtomicUsize = AtomicUsize::new(0);

impl StreamingEndpoint for Scripted {
    const ROUTE: Route = Route::post("/chatkit");

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    async fn handle(&self, request: StreamingRequest) -> Result<StreamingResponse, Error> {
        let body: Value = request.json_value()?;
        let script = body["do"].as_str().unwrap_or_default().to_owned();
        let bearer = request.bearer.expose().to_owned();
        Ok(match script.as_str() {
            "refuse" => return Err(Error::new(ErrorCode::SessionNotFound)),
            "panic" => panic!("as a control"),
            "buffered" => StreamingResponse::Buffered(Response::ok(&json!({ "bearer": bearer }))?),
            _ => StreamingResponse::Events(EventStream::new(async move |sender: EventSender| {
                match script.as_str() {
                    "nothing" => {}
                    "panic first" => panic!("as a control"),
                    "hang" => std::future::pending::<()>().await,
                    "fail" => return Err(Error::new(ErrorCode::SupabaseUnavailable)),
                    "explain" => {
                        sender.send_last(&json!({ "code": "custom", "type": "error" }))?;
                        return Err(Error::new(ErrorCode::SupabaseUnavailable));
                    }
                    _ => {
                        sender.send(&1)?;
                        tokio::task::yield_now().await;
                        assert!(script != "panic later", "as a control");
                        sender.send(&2)?;
                    }
                }
                FINISHED.fetch_add(1, SeqCst);
                Ok(())
            })),
        })
    }
}

fn service() -> StreamingService<Scripted> {
    let variable = |name: &str| match name {
        "SUPABASE_URL" => Some("https://project.supabase.co".to_owned()),
        "CORS_ALLOWED_ORIGINS" => Some("https://app.example.com".to_owned()),
        _ => None,
    };
    StreamingService::new(Environment::new(variable), HttpClient::new().unwrap()).unwrap()
}

fn event(changes: Value) -> LambdaEvent<Payload> {
    let mut event = json!({
        "version": "2.0", "rawPath": "/chatkit", "rawQueryString": "",
        "headers": {
            "authorization": "Bearer cks_1", "content-type": "application/json",
            "origin": "https://app.example.com",
        },
        "requestContext": { "http": { "method": "POST" } },
        "body": "{}",
    });
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let mut context = lambda_runtime::Context::default();
    context.request_id = "id-1".to_owned();
    LambdaEvent::new(Payload::parse(event.to_string().as_bytes()), context)
}

fn script(script: &str) -> LambdaEvent<Payload> {
    event(json!({ "body": json!({ "do": script }).to_string() }))
}

/// Returns status, headers and body.
async fn answer(event: LambdaEvent<Payload>) -> (u16, HeaderMap, String) {
    let StreamResponse { metadata_prelude, stream } = service().serve_streamed(event).await;
    let body: Vec<u8> = stream.map(|Ok(bytes)| bytes.to_vec()).concat().await;
    (metadata_prelude.status_code.as_u16(), metadata_prelude.headers, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn events_have_the_headers_of_a_stream() {
    let (status, headers, body) = answer(script("two events")).await;
    assert_eq!((status, body.as_str()), (200, "data: 1\n\ndata: 2\n\n"));
    for (name, expected) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("access-control-allow-origin", "https://app.example.com"),
        ("x-request-id", "id-1"),
    ] {
        assert_eq!(headers[name], expected, "{name}");
    }
}

#[tokio::test]
async fn failed_stream_ends_with_the_error_event() {
    for (name, expected) in [
        ("nothing", FAILURE.to_owned()),
        ("panic first", FAILURE.to_owned()),
        ("fail", FAILURE.to_owned()),
        ("panic later", format!("data: 1\n\n{FAILURE}")),
        ("explain", "data: {\"code\":\"custom\",\"type\":\"error\"}\n\n".to_owned()),
    ] {
        let (status, _, body) = answer(script(name)).await;
        assert_eq!((status, body), (200, expected), "{name}");
    }
}

#[tokio::test]
async fn stream_ends_at_the_deadline() {
    let mut event = script("hang");
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_millis(400);
    event.context.deadline = end.as_millis() as u64;
    let (status, _, body) = answer(event).await;
    assert_eq!((status, body.as_str()), (200, FAILURE));
}

#[tokio::test]
async fn work_goes_on_without_its_client() {
    let before = FINISHED.load(SeqCst);
    let mut response = service().answer(script("two events")).await;
    let first = poll_fn(|context| Pin::new(response.body_mut()).poll_next(context)).await;
    assert_eq!(first.unwrap().unwrap(), "data: 1\n\n");
    drop(response);
    for _ in 0..100 {
        if FINISHED.load(SeqCst) > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the work did not finish");
}

#[tokio::test]
async fn errors_before_the_stream_are_problem_details_with_cors() {
    let origin = json!("https://app.example.com");
    for (event, status, code) in [
        (script("refuse"), 404, "session_not_found"),
        (script("panic"), 500, "internal_error"),
        (event(json!({ "headers": { "origin": origin } })), 401, "missing_client_secret"),
        (
            event(json!({ "headers": { "origin": origin, "authorization": "Basic x" } })),
            401,
            "missing_client_secret",
        ),
        (event(json!({ "body": "{" })), 400, "malformed_body"),
        (event(json!({ "rawPath": "/other" })), 404, "route_not_found"),
        (event(json!({ "requestContext": { "http": { "method": "GET" } } })), 405, "method_not_allowed"),
    ] {
        let (found, headers, body) = answer(event).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, problem["code"].as_str().unwrap()), (status, code));
        assert_eq!(headers["access-control-allow-origin"], "https://app.example.com", "{code}");
        assert_eq!(headers["content-type"], "application/problem+json", "{code}");
        assert_eq!(headers.contains_key("www-authenticate"), status == 401, "{code}");
    }
}

#[tokio::test]
async fn buffered_response_of_either_payload_format_is_streamed() {
    let (status, headers, body) = answer(script("buffered")).await;
    assert_eq!((status, body.as_str()), (200, r#"{"bearer":"cks_1"}"#));
    assert_eq!(headers["content-type"], "application/json");
    let one = json!({
        "version": null, "rawPath": null, "httpMethod": "POST", "resource": "/chatkit", "path": "/chatkit",
        "multiValueHeaders": { "Authorization": ["bearer cks_2"], "Content-Type": ["application/json"] },
        "headers": null, "requestContext": { "stage": "v1" }, "body": r#"{"do":"buffered"}"#,
    });
    let (status, _, body) = answer(event(one)).await;
    assert_eq!((status, body.as_str()), (200, r#"{"bearer":"cks_2"}"#));
}

/// The events in AWS's documentation, with a request of ChatKit.js.
#[tokio::test]
async fn documented_events_of_both_entry_points_are_served() {
    for (event, secret) in [
        (include_str!("test_events/function_url.json"), "cks_url"),
        (include_str!("test_events/rest_api.json"), "cks_rest"),
    ] {
        let payload = Payload::parse(event.as_bytes());
        let (status, headers, body) = answer(LambdaEvent::new(payload, Default::default())).await;
        assert_eq!((status, body), (200, json!({ "bearer": secret }).to_string()));
        assert_eq!(headers["access-control-allow-origin"], "https://app.example.com", "{secret}");
        let streamed = event.replace("buffered", "two events");
        let payload = Payload::parse(streamed.as_bytes());
        let (status, _, body) = answer(LambdaEvent::new(payload, Default::default())).await;
        assert_eq!((status, body.as_str()), (200, "data: 1\n\ndata: 2\n\n"), "{secret}");
    }
}

#[tokio::test]
async fn preflight_allows_the_headers_of_chatkit_and_has_a_body() {
    let (status, headers, body) = answer(event(json!({
        "headers": { "origin": "https://app.example.com", "access-control-request-method": "POST" },
        "requestContext": { "http": { "method": "OPTIONS" } },
    })))
    .await;
    assert_eq!((status, body.as_str()), (200, "\n"));
    let allowed: Vec<_> = headers["access-control-allow-headers"].to_str().unwrap().split(", ").collect();
    for name in
        ["authorization", "content-type", "accept-language", "chatkit-frame-instance-id", "idempotency-key"]
    {
        assert!(allowed.contains(&name), "{name} in {allowed:?}");
    }
}
