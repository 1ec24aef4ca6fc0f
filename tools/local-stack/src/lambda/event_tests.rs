use axum::http::Request;

use super::*;

fn metadata() -> RequestMetadata {
    RequestMetadata {
        request_id: "id".to_owned(),
        trace_id: "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c".to_owned(),
        source: IpAddr::from([1, 2, 3, 4]),
        at: "2020-04-21T15:08:21.067Z".parse().unwrap(),
    }
}

fn of(entry_point: EntryPoint, request: Request<&'static str>) -> Value {
    let (parts, body) = request.into_parts();
    event(entry_point, &parts, &Bytes::from(body), &metadata())
}

#[test]
fn function_url_event_matches_the_aws_documentation() {
    let request = Request::post("/my/path?parameter1=value1&parameter1=value2&parameter2=a%20b")
        .header("host", "id.lambda-url.us-west-2.on.aws")
        .header("cookie", "cookie1=a; cookie2=b")
        .header("Header1", "value1")
        .header("header1", "value2")
        .header("content-type", "application/json; charset=utf-8")
        .header("user-agent", "agent")
        .header("connection", "keep-alive")
        .body("{}")
        .unwrap();
    let expected = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=a%20b",
        "cookies": ["cookie1=a", "cookie2=b"],
        "headers": {
            "content-length": "2",
            "content-type": "application/json; charset=utf-8",
            "cookie": "cookie1=a; cookie2=b",
            "header1": "value1,value2",
            "host": "id.lambda-url.us-west-2.on.aws",
            "user-agent": "agent",
            "x-amzn-trace-id": "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c",
            "x-forwarded-for": "1.2.3.4",
            "x-forwarded-port": "80",
            "x-forwarded-proto": "http"
        },
        "queryStringParameters": { "parameter1": "value1,value2", "parameter2": "a b" },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": "id.lambda-url.us-west-2.on.aws",
            "domainPrefix": "id",
            "http": { "method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4", "userAgent": "agent" },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Apr/2020:15:08:21 +0000",
            "timeEpoch": 1587481701067i64
        },
        "body": "{}",
        "isBase64Encoded": false
    });
    assert_eq!(of(EntryPoint::FunctionUrl, request), expected);
}

#[test]
fn http_api_event_contains_route_and_path_parameters() {
    let found = RouteMatch {
        function: "get-session".to_owned(),
        route_key: "GET /chatkit/sessions/{id}".to_owned(),
        parameters: [("id".to_owned(), "7".to_owned())].into(),
    };
    let request = Request::get("/chatkit/sessions/7").header("cookie", "a=b").body("").unwrap();
    let event = of(EntryPoint::HttpApi(&found), request);
    assert_eq!(event["routeKey"], "GET /chatkit/sessions/{id}");
    assert_eq!(event["requestContext"]["routeKey"], "GET /chatkit/sessions/{id}");
    assert_eq!(event["requestContext"]["stage"], "$default");
    assert_eq!(event["pathParameters"], json!({ "id": "7" }));
    assert_eq!(event["cookies"], json!(["a=b"]));
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event.get("body"), None);
    assert_eq!(event.get("queryStringParameters"), None);
}

#[test]
fn only_text_bodies_are_not_encoded() {
    let encoded = |content_type: &str| {
        let mut request = Request::post("/");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let event = of(EntryPoint::FunctionUrl, request.body("a=b").unwrap());
        (event["isBase64Encoded"].clone(), event["body"].clone())
    };
    for text in ["application/json", "text/plain;charset=UTF-8", "Application/XML", "application/javascript"]
    {
        assert_eq!(encoded(text), (json!(false), json!("a=b")), "{text}");
    }
    for binary in
        ["", "application/x-www-form-urlencoded", "application/octet-stream", "application/problem+json"]
    {
        assert_eq!(encoded(binary), (json!(true), json!("YT1i")), "{binary}");
    }
}

#[test]
fn json_with_invalid_utf_8_is_base64_encoded() {
    let (parts, ()) =
        Request::post("/").header("content-type", "application/json").body(()).unwrap().into_parts();
    let event = event(EntryPoint::FunctionUrl, &parts, &Bytes::from_static(b"\xff"), &metadata());
    assert_eq!((event["isBase64Encoded"].clone(), event["body"].clone()), (json!(true), json!("/w==")));
}
