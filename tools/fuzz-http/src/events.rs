//! Real events as the basis of the mutations.

use anyhow::Result;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const JWT_SECRET: &str = "a-secret-of-the-fuzzer-that-signs-its-own-tokens";
const DATABASE_WEBHOOK_SECRET: &str = "a-webhook-secret-of-the-fuzzer-for-nothing";
const ID: &str = "01981d3c-0000-7000-8000-000000000000";
const ISSUER: &str = "http://127.0.0.1:9/auth/v1";

/// The environment: a loopback address without a server, and tokens that are verified without
/// fetching keys.
pub fn variable(name: &str) -> Option<&'static str> {
    Some(match name {
        "SUPABASE_URL" => "http://127.0.0.1:9",
        "SUPABASE_JWT_SECRET" => JWT_SECRET,
        "DATABASE_WEBHOOK_SECRET" => DATABASE_WEBHOOK_SECRET,
        "CORS_ALLOWED_ORIGINS" => {
            "https://app.example.com,https://*.preview.example.com,capacitor://localhost"
        }
        "CORS_ALLOWED_HEADERS" => "x-tenant",
        _ => return None,
    })
}

/// Returns a token of an arbitrary user.
fn token() -> Result<String> {
    let claims = json!({
        "sub": ID, "role": "authenticated", "aud": "authenticated", "iss": ISSUER, "exp": 4_102_444_800_u64,
        "app_metadata": { "org_id": ID },
    });
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

pub fn all() -> Result<Vec<Value>> {
    let authorization = format!("Bearer {}", token()?);
    let path = format!("/chatkit/sessions/{ID}/events");
    let headers = json!({
        "authorization": authorization,
        "content-type": "application/json",
        "content-length": "2",
        "host": "id.lambda-url.eu-central-1.on.aws",
        "idempotency-key": "3f0c7f4e",
        "origin": "https://pr-7.preview.example.com",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "user-agent": "Mozilla/5.0",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
        "x-webhook-secret": DATABASE_WEBHOOK_SECRET,
    });
    let context = |route_key: &str, stage: &str| {
        json!({
            "accountId": "anonymous", "apiId": "id", "domainName": "id.lambda-url.eu-central-1.on.aws", "domainPrefix": "id",
            "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "Mozilla/5.0" },
            "requestId": "d2b1b0f0", "routeKey": route_key, "stage": stage, "time": "22/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_795_341_600_000_u64,
        })
    };
    let url = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "limit=7", "cookies": ["a=b"],
        "headers": headers, "queryStringParameters": { "limit": "7" }, "requestContext": context("$default", "$default"),
        "body": r#"{"id":1,"payload":{"a":["b"]}}"#, "isBase64Encoded": false,
    });
    let changed = |base: &Value, changes: Value| {
        let mut event = base.clone();
        merge(&mut event, changes);
        event
    };
    const KEY: &str = "POST /chatkit/sessions/{id}/events";
    let api = changed(
        &url,
        json!({ "routeKey": KEY, "pathParameters": { "id": ID }, "requestContext": context(KEY, "$default") }),
    );
    let mapped = changed(&api, json!({ "rawPath": format!("/v1{path}") }));
    let staged = changed(
        &url,
        json!({ "rawPath": format!("/prod{path}"), "requestContext": context("$default", "prod") }),
    );
    let greedy = changed(
        &mapped,
        json!({ "routeKey": "ANY /{proxy+}", "pathParameters": { "proxy": path.trim_start_matches('/') } }),
    );
    let encoded = changed(&url, json!({ "body": "eyJhIjoxfQ==", "isBase64Encoded": true }));
    let known = changed(&url, json!({ "headers": { "if-none-match": "*, W/\"a\", \"b\"" } }));
    let compressed = changed(&url, json!({ "headers": { "content-encoding": "gzip" } }));
    let preflight = json!({
        "access-control-request-method": "POST", "access-control-request-headers": "authorization,baggage,x-tenant",
    });
    let preflight = changed(
        &api,
        json!({ "headers": preflight, "body": null, "requestContext": { "http": { "method": "OPTIONS" } } }),
    );
    let get = changed(&api, json!({ "body": null, "requestContext": { "http": { "method": "GET" } } }));
    let stranger = changed(&get, json!({ "headers": { "authorization": "Bearer a.b.c" } }));
    let rest = json!({
        "version": "1.0", "resource": "/chatkit/sessions/{id}/events", "path": format!("/v1{path}"), "httpMethod": "POST",
        "headers": headers, "multiValueHeaders": { "Authorization": [authorization], "Content-Type": ["application/json"] },
        "queryStringParameters": { "limit": "7" }, "multiValueQueryStringParameters": { "limit": ["7"] },
        "pathParameters": { "id": ID }, "stageVariables": null, "body": "{}", "isBase64Encoded": false,
        "requestContext": { "path": format!("/v1{path}"), "stage": "prod", "resourcePath": "/chatkit/sessions/{id}/events", "httpMethod": "POST" },
    });
    let schedule = json!({
        "version": "0", "id": ID, "detail-type": "Scheduled Event", "source": "aws.scheduler", "account": "123456789012",
        "time": "2026-11-22T10:00:00Z", "region": "eu-central-1", "resources": [], "detail": {},
    });
    let queue = json!({ "Records": [{
        "messageId": ID, "receiptHandle": "a", "body": "{}", "attributes": { "ApproximateReceiveCount": "1" },
        "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:queue",
    }] });
    Ok(vec![
        url, api, mapped, staged, greedy, encoded, known, compressed, preflight, get, stranger, rest,
        schedule, queue,
    ])
}

/// Replaces members, also of nested objects.
fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change,
    }
}
