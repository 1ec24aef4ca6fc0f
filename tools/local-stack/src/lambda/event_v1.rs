//! The events of REST APIs: payload version 1.0, as documented by AWS. Source:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::header;
use axum::http::request::Parts;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::event::{HOP_BY_HOP, RequestMetadata, text};
use super::routes::RouteMatch;

/// The stage of the REST API. It is part of the requested path, but not of the event's path.
pub const STAGE: &str = "local";

pub fn event(found: &RouteMatch, parts: &Parts, body: &Bytes, metadata: &RequestMetadata) -> Value {
    let resource = found.route_key.split_once(' ').map_or("", |(_, path)| path);
    let requested = parts.uri.path();
    let path = requested.strip_prefix(&format!("/{STAGE}")).unwrap_or(requested);
    let headers = headers(parts, metadata);
    let query = query(parts.uri.query().unwrap_or_default());
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": parts.method.as_str(),
        "headers": last_values(&headers),
        "multiValueHeaders": headers,
        "queryStringParameters": if query.is_empty() { Value::Null } else { last_values(&query) },
        "multiValueQueryStringParameters": if query.is_empty() { Value::Null } else { json!(query) },
        "pathParameters": if found.parameters.is_empty() { Value::Null } else { json!(found.parameters) },
        "stageVariables": null,
        "requestContext": context(resource, requested, parts, metadata),
        // A REST API without binary media types passes every body as text.
        "body": if body.is_empty() { Value::Null } else { String::from_utf8_lossy(body).into() },
        "isBase64Encoded": false,
    })
}

fn context(resource: &str, path: &str, parts: &Parts, metadata: &RequestMetadata) -> Value {
    let host = text(&parts.headers, header::HOST.as_str()).unwrap_or_default();
    json!({
        "accountId": "123456789012",
        "apiId": "local",
        "domainName": host,
        "domainPrefix": host.split(['.', ':']).next().unwrap_or_default(),
        "extendedRequestId": metadata.request_id,
        "httpMethod": parts.method.as_str(),
        "identity": {
            "accessKey": null,
            "accountId": null,
            "caller": null,
            "cognitoAuthenticationProvider": null,
            "cognitoAuthenticationType": null,
            "cognitoIdentityId": null,
            "cognitoIdentityPoolId": null,
            "principalOrgId": null,
            "sourceIp": metadata.source.to_string(),
            "user": null,
            "userAgent": text(&parts.headers, header::USER_AGENT.as_str()),
            "userArn": null,
        },
        "path": path,
        "protocol": "HTTP/1.1",
        "requestId": metadata.request_id,
        "requestTime": metadata.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "requestTimeEpoch": metadata.at.as_millisecond(),
        "resourceId": "local",
        "resourcePath": resource,
        "stage": STAGE,
    })
}

/// Returns the headers with all values. Names are capitalised, as most HTTP/1.1 clients send them.
fn headers(parts: &Parts, metadata: &RequestMetadata) -> BTreeMap<String, Vec<String>> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        if !HOP_BY_HOP.contains(&name.as_str()) && *name != header::CONTENT_LENGTH {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.entry(capitalised(name.as_str())).or_default().push(value);
        }
    }
    let forwarded = match headers.get("X-Forwarded-For").and_then(|values| values.first()) {
        Some(before) => format!("{before}, {}", metadata.source),
        None => metadata.source.to_string(),
    };
    for (name, value) in [
        ("X-Amzn-Trace-Id", metadata.trace_id.as_str()),
        ("X-Forwarded-For", &forwarded),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ] {
        headers.insert(name.to_owned(), vec![value.to_owned()]);
    }
    headers
}

fn capitalised(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

fn query(query: &str) -> BTreeMap<String, Vec<String>> {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    parameters
}

fn last_values(all: &BTreeMap<String, Vec<String>>) -> Value {
    all.iter().filter_map(|(name, values)| Some((name.clone(), json!(values.last()?)))).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn rest_api_event_matches_the_aws_documentation() {
        let found = RouteMatch {
            function: "streams".to_owned(),
            route_key: "POST /my/path".to_owned(),
            parameters: BTreeMap::new(),
        };
        let request = Request::post("/local/my/path?parameter1=value1&parameter1=value2&parameter2=value")
            .header("host", "id.execute-api.us-east-1.amazonaws.com")
            .header("header1", "value1")
            .header("header2", "value1")
            .header("header2", "value2")
            .header("user-agent", "user-agent");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let metadata = RequestMetadata {
            request_id: "id".to_owned(),
            trace_id: "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c".to_owned(),
            source: [192, 0, 2, 1].into(),
            at: "2019-02-21T11:06:21.563Z".parse().unwrap(),
        };
        let event = event(&found, &parts, &Bytes::from_static(b"Hello from Lambda!"), &metadata);
        let expected = json!({
            "resource": "/my/path",
            "path": "/my/path",
            "httpMethod": "POST",
            "headers": {
                "Header1": "value1", "Header2": "value2", "Host": "id.execute-api.us-east-1.amazonaws.com",
                "User-Agent": "user-agent", "X-Amzn-Trace-Id": "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c",
                "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https",
            },
            "multiValueHeaders": {
                "Header1": ["value1"], "Header2": ["value1", "value2"],
                "Host": ["id.execute-api.us-east-1.amazonaws.com"], "User-Agent": ["user-agent"],
                "X-Amzn-Trace-Id": ["Root=1-5e9f0c65-1de4d666d4dd26aced652b6c"],
                "X-Forwarded-For": ["192.0.2.1"], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"],
            },
            "queryStringParameters": { "parameter1": "value2", "parameter2": "value" },
            "multiValueQueryStringParameters": { "parameter1": ["value1", "value2"], "parameter2": ["value"] },
            "pathParameters": null,
            "stageVariables": null,
            "requestContext": {
                "accountId": "123456789012", "apiId": "local",
                "domainName": "id.execute-api.us-east-1.amazonaws.com", "domainPrefix": "id",
                "extendedRequestId": "id", "httpMethod": "POST",
                "identity": {
                    "accessKey": null, "accountId": null, "caller": null,
                    "cognitoAuthenticationProvider": null, "cognitoAuthenticationType": null,
                    "cognitoIdentityId": null, "cognitoIdentityPoolId": null, "principalOrgId": null,
                    "sourceIp": "192.0.2.1", "user": null, "userAgent": "user-agent", "userArn": null,
                },
                "path": "/local/my/path", "protocol": "HTTP/1.1", "requestId": "id",
                "requestTime": "21/Feb/2019:11:06:21 +0000", "requestTimeEpoch": 1550747181563i64,
                "resourceId": "local", "resourcePath": "/my/path", "stage": "local",
            },
            "body": "Hello from Lambda!",
            "isBase64Encoded": false,
        });
        assert_eq!(event, expected);
    }
}
