//! Functions are reached by AWS's two doors, and find the events that those send and the environment that Lambda gives.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use local_stack::http::client;
use serde_json::{Value, json};

use super::{echoing, get};

// NAME: doors: a function URL leads to its function by every path
#[tokio::test]
async fn function_url() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    let url = format!("{}/any/path?a=1&a=2", stack.function_url("get-session"));
    let request =
        client().post(url).header("cookie", "one=1; two=2").header("x-twice", "1").header("x-twice", "2");
    let answer: Value = request.json(&json!({ "a": 1 })).send().await?.json().await?;
    let (event, context) = (&answer["event"], &answer["context"]);

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
    let deadline = u128::from(context["deadline"].as_u64().context("no deadline")?);
    assert!(deadline > now && deadline < now + 16_000, "{deadline} at {now}");
    assert_eq!(context["arn"], "arn:aws:lambda:local:123456789012:function:get-session");
    let root = event["headers"]["x-amzn-trace-id"].as_str().context("no trace id")?;
    assert!(context["traceId"].as_str().is_some_and(|id| id.starts_with(root)), "{context}");
    Ok(())
}

// NAME: doors: the HTTP API leads to a function by its route
#[tokio::test]
async fn http_api() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    let (status, answer) = get(&format!("{}/chatkit/sessions/a%20b", stack.api_url())).await?;
    let event = &answer["event"];
    assert_eq!((status, &event["routeKey"]), (200, &json!("GET /chatkit/sessions/{id}")));
    assert_eq!(event["pathParameters"], json!({ "id": "a b" }));
    assert_eq!(event["requestContext"]["accountId"], "123456789012");
    assert_eq!(answer["context"]["arn"], "arn:aws:lambda:local:123456789012:function:get-session");
    let not_found = (404, json!({ "message": "Not Found" }));
    for path in ["/", "/chatkit", "/chatkit/sessions/1/2/3", "/chatkit/sessions/"] {
        assert_eq!(get(&format!("{}{path}", stack.api_url())).await?, not_found, "{path}");
    }
    let deleted = client().delete(format!("{}/chatkit/sessions", stack.api_url())).send().await?;
    assert_eq!(deleted.status(), 404);
    Ok(())
}

// NAME: doors: what a function answers is taken apart
#[tokio::test]
async fn answers() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    let response = client().get(format!("{}/response", stack.function_url("get-session"))).send().await?;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (201, &"text/html".parse()?)
    );
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=b", "c=d"]);
    assert_eq!(response.text().await?, "<b>hi</b>");
    Ok(())
}

// NAME: doors: a function has Lambda's environment and its own, and nothing else
#[tokio::test]
async fn environment() -> Result<()> {
    let builder = LocalStack::builder().env("A_VARIABLE", "a value").env("CORS_ALLOWED_ORIGINS", "");
    let stack = echoing(builder).await?;
    let of = async |function: &str| get(&format!("{}/environment", stack.function_url(function))).await;
    let (_, reading) = of("get-session").await?;
    let (_, writing) = of("create-session").await?;
    assert_eq!(
        (&reading["A_VARIABLE"], &reading["AWS_LAMBDA_FUNCTION_NAME"]),
        (&json!("a value"), &json!("get-session"))
    );
    assert_eq!(reading["SUPABASE_URL"], stack.supabase().url());
    // Nothing of the caller's own, and no secret key where nothing is written.
    for absent in
        ["HOME", "CARGO", "USER", "SUPABASE_SECRET_KEY", "CHATKIT_SEALING_KEYS", "CORS_ALLOWED_ORIGINS"]
    {
        assert_eq!(reading.get(absent), None, "{absent}");
    }
    let more: BTreeSet<&String> = writing.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    assert!(
        more.contains(&"SUPABASE_SECRET_KEY".to_owned()) && more.contains(&"CHATKIT_SEALING_KEYS".to_owned())
    );
    Ok(())
}

// NAME: doors: a process has one event at a time, and is used again
#[tokio::test]
async fn processes() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    let url = format!("{}/slow", stack.function_url("get-session"));
    let first = get(&url).await?.1;
    assert_eq!(get(&url).await?.1, first, "an idle process is used again");
    let started = Instant::now();
    let (one, other) = tokio::try_join!(get(&url), get(&url))?;
    assert_ne!(one.1["pid"], other.1["pid"], "a busy one is not");
    assert!(started.elapsed().as_millis() < 580, "they did not run side by side: {:?}", started.elapsed());
    Ok(())
}

// NAME: doors: bodies and events have their largest size
#[tokio::test]
async fn sizes() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    let post = async |url: String, size: usize| -> Result<u16> {
        let request = client().post(url).header("content-type", "text/plain").body("x".repeat(size));
        Ok(request.send().await?.status().as_u16())
    };
    let (api, own) = (format!("{}/chatkit/sessions", stack.api_url()), stack.function_url("create-session"));
    assert_eq!(post(api.clone(), 1 << 20).await?, 200);
    assert_eq!(post(own.clone(), 1 << 20).await?, 200);
    assert_eq!(post(api, 11 << 20).await?, 413);
    assert_eq!(post(own, 7 << 20).await?, 413);
    Ok(())
}
