//! Function URLs and the HTTP API: events, responses, sizes, and the environment of the functions.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use local_stack::http::client;
use serde_json::{Value, json};

use super::{get, start_with_echo};

#[tokio::test]
async fn function_url_accepts_every_path() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    let url = format!("{}/any/path?a=1&a=2", stack.function_url("get-session"));
    let request =
        client().post(url).header("cookie", "one=1; two=2").header("x-twice", "1").header("x-twice", "2");
    let response: Value = request.json(&json!({ "a": 1 })).send().await?.json().await?;
    let (event, context) = (&response["event"], &response["context"]);

    assert_eq!((&event["version"], &event["routeKey"]), (&json!("2.0"), &json!("$default")));
    assert_eq!((&event["rawPath"], &event["rawQueryString"]), (&json!("/any/path"), &json!("a=1&a=2")));
    assert_eq!(event["queryStringParameters"], json!({ "a": "1,2" }));
    assert_eq!(event["cookies"], json!(["one=1", "two=2"]));
    assert_eq!(
        (&event["headers"]["x-twice"], &event["headers"]["content-type"]),
        (&json!("1,2"), &json!("application/json"))
    );
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(r#"{"a":1}"#), &json!(false)));
    assert_eq!(event.get("pathParameters"), None);
    assert_eq!(
        (&event["requestContext"]["http"]["method"], &event["requestContext"]["accountId"]),
        (&json!("POST"), &json!("anonymous"))
    );

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let deadline = u128::from(context["deadline"].as_u64().context("the context has no deadline")?);
    assert!(deadline > now && deadline < now + 16_000, "{deadline} at {now}");
    assert_eq!(context["arn"], "arn:aws:lambda:local:123456789012:function:get-session");
    let root = event["headers"]["x-amzn-trace-id"].as_str().context("the event has no trace id")?;
    assert!(context["traceId"].as_str().is_some_and(|id| id.starts_with(root)), "{context}");
    Ok(())
}

#[tokio::test]
async fn http_api_routes_by_method_and_path() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    let (status, response) = get(&format!("{}/chatkit/sessions/a%20b", stack.api_url())).await?;
    let event = &response["event"];
    assert_eq!((status, &event["routeKey"]), (200, &json!("GET /chatkit/sessions/{id}")));
    assert_eq!(event["pathParameters"], json!({ "id": "a b" }));
    assert_eq!(event["requestContext"]["accountId"], "123456789012");
    assert_eq!(response["context"]["arn"], "arn:aws:lambda:local:123456789012:function:get-session");
    let not_found = (404, json!({ "message": "Not Found" }));
    for path in ["/", "/chatkit", "/chatkit/sessions/1/2/3", "/chatkit/sessions/"] {
        assert_eq!(get(&format!("{}{path}", stack.api_url())).await?, not_found, "{path}");
    }
    let deleted = client().delete(format!("{}/chatkit/sessions", stack.api_url())).send().await?;
    assert_eq!(deleted.status(), 404);
    Ok(())
}

#[tokio::test]
async fn function_response_becomes_http_response() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    let response = client().get(format!("{}/response", stack.function_url("get-session"))).send().await?;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (201, &"text/html".parse()?)
    );
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=b", "c=d"]);
    assert_eq!(response.text().await?, "<b>hi</b>");
    Ok(())
}

#[tokio::test]
async fn function_environment_contains_only_lambda_and_own_variables() -> Result<()> {
    let builder = LocalStack::builder().env("A_VARIABLE", "a value").env("CORS_ALLOWED_ORIGINS", "");
    let stack = start_with_echo(builder).await?;
    let environment_of =
        async |function: &str| get(&format!("{}/environment", stack.function_url(function))).await;
    let (_, reader) = environment_of("get-session").await?;
    let (_, writer) = environment_of("create-session").await?;
    assert_eq!(
        (&reader["A_VARIABLE"], &reader["AWS_LAMBDA_FUNCTION_NAME"]),
        (&json!("a value"), &json!("get-session"))
    );
    assert_eq!(reader["SUPABASE_URL"], stack.supabase().url());
    // No variable of the test's process, no secret key for functions that only read, no empty
    // variable.
    for absent in
        ["HOME", "CARGO", "USER", "SUPABASE_SECRET_KEY", "CHATKIT_SEALING_KEYS", "CORS_ALLOWED_ORIGINS"]
    {
        assert_eq!(reader.get(absent), None, "{absent}");
    }
    let names: BTreeSet<&String> = writer.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    assert!(
        names.contains(&"SUPABASE_SECRET_KEY".to_owned())
            && names.contains(&"CHATKIT_SEALING_KEYS".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn process_handles_one_event_at_a_time_and_is_reused() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    let url = format!("{}/slow", stack.function_url("get-session"));
    let first = get(&url).await?.1;
    assert_eq!(get(&url).await?.1, first, "expected that an idle process is used again");
    let started = Instant::now();
    let (one, other) = tokio::try_join!(get(&url), get(&url))?;
    assert_ne!(one.1["pid"], other.1["pid"], "expected two processes for concurrent events");
    assert!(
        started.elapsed().as_millis() < 580,
        "expected concurrent requests, which took {:?}",
        started.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn body_above_size_limit_returns_413() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    let post = async |url: String, size: usize| -> Result<u16> {
        let request = client().post(url).header("content-type", "text/plain").body("x".repeat(size));
        Ok(request.send().await?.status().as_u16())
    };
    let (api, function_url) =
        (format!("{}/chatkit/sessions", stack.api_url()), stack.function_url("create-session"));
    assert_eq!(post(api.clone(), 1 << 20).await?, 200);
    assert_eq!(post(function_url.clone(), 1 << 20).await?, 200);
    assert_eq!(post(api, 11 << 20).await?, 413);
    assert_eq!(post(function_url, 7 << 20).await?, 413);
    Ok(())
}
