//! The rows of `docs/reference/requests.md`, with a request and the expected response for each.

use axum::http::{HeaderValue, Method, Request};
use serde_json::Value;

use crate::support::client::TestClient;

pub const CLICK: &str =
    r#"{"id":"3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b11","type":"button_click","payload":{"action":"a"}}"#;

const AGENTS: &str = "/chatkit/agents";
const APP: &str = local_stack::ORIGIN;
const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
const MALFORMED: &str = "malformed_request";
const MEDIA_TYPE: &str = "unsupported_media_type";

/// A request and the expected response.
pub struct Row {
    /// The first cell of the row in the documentation.
    pub name: &'static str,
    pub function: &'static str,
    pub method: Method,
    /// With a placeholder for the path of the caller's session; see [`Row::path`].
    pub path: String,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
    /// A change of the Lambda event, for what an HTTP client cannot send.
    pub change: Option<fn(&mut Value)>,
    pub status: u16,
    pub code: Option<&'static str>,
    pub response_header: Option<(&'static str, &'static str)>,
}

impl Row {
    fn new(name: &'static str, function: &'static str, method: Method, path: &str, status: u16) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        let (change, code, response_header) = (None, None, None);
        Self {
            name,
            function,
            method,
            path: path.to_owned(),
            headers,
            body,
            change,
            status,
            code,
            response_header,
        }
    }

    fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn change(mut self, change: fn(&mut Value)) -> Self {
        self.change = Some(change);
        self
    }

    fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    fn response_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.response_header = Some((name, value));
        self
    }

    /// The path with the session, as the row spells it.
    pub fn path(&self, session: &str) -> String {
        let upper_case = session.replace("chatkit/sessions", "CHATKIT/SESSIONS").to_uppercase();
        let id = session.rsplit('/').next().unwrap_or_default();
        let encoded = format!("/chatkit/sessions/%{:02X}{}", id.as_bytes()[0], &id[1..]);
        let upper_id = format!("/chatkit/sessions/{}", id.to_uppercase());
        let path = self.path.replace("{session}", session).replace("{SESSION}", &upper_case);
        path.replace("{%session}", &encoded).replace("{session-ID}", &upper_id)
    }

    /// The request, with the caller's token.
    pub fn request(&self, caller: &TestClient, session: &str) -> Request<Vec<u8>> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path(session).parse().expect("a path");
        for (name, value) in &self.headers {
            request.headers_mut().append(*name, HeaderValue::from_bytes(value).expect("a header"));
        }
        let token = format!("Bearer {}", caller.token);
        if self.name == "`Authorization` given twice" {
            for _ in 0..2 {
                request.headers_mut().append("authorization", token.parse().expect("a header"));
            }
        } else {
            request.headers_mut().insert("authorization", token.parse().expect("a header"));
        }
        request
    }
}

fn get_session(name: &'static str, path: &str, status: u16) -> Row {
    Row::new(name, "get-session", Method::GET, path, status)
}

fn list_agents(name: &'static str, method: Method, path: &str, status: u16) -> Row {
    Row::new(name, "list-agents", method, path, status)
}

/// Records an event with this content type, or without one.
fn record_event(name: &'static str, content_type: &[u8], status: u16) -> Row {
    let row = Row::new(name, "record-events", Method::POST, "{session}/events", status).body(CLICK);
    if content_type.is_empty() { row } else { row.header("content-type", content_type) }
}

pub fn all() -> Vec<Row> {
    [methods(), paths(), headers(), types(), bodies()].into_iter().flatten().collect()
}

fn methods() -> Vec<Row> {
    let no_preflight = "`OPTIONS` without `Origin`, or without `Access-Control-Request-Method`";
    let options = |name| {
        list_agents(name, Method::OPTIONS, AGENTS, 405)
            .code(METHOD_NOT_ALLOWED)
            .response_header("allow", "GET")
    };
    let preflight = |status| {
        list_agents("`OPTIONS` with both", Method::OPTIONS, AGENTS, status)
            .header("access-control-request-method", "GET")
    };
    vec![
        list_agents("`HEAD`", Method::HEAD, AGENTS, 405)
            .code(METHOD_NOT_ALLOWED)
            .response_header("allow", "GET"),
        options(no_preflight),
        options(no_preflight).header("origin", APP).response_header("access-control-allow-origin", APP),
        options(no_preflight).header("access-control-request-method", "GET"),
        preflight(204).header("origin", APP).response_header("access-control-allow-origin", APP),
        preflight(403).header("origin", "https://other.example.com").code("origin_forbidden"),
        list_agents("an unknown method", Method::from_bytes(b"BREW").expect("a method"), AGENTS, 405)
            .code(METHOD_NOT_ALLOWED)
            .response_header("allow", "GET"),
    ]
}

fn paths() -> Vec<Row> {
    let unencoded =
        "a query with a character that has to be encoded (a space, `\"`, `<`, `>`, `#`, a control character)";
    // A REST API passes decoded parameters instead of the query, so the caller skips these rows.
    let query = |change| list_agents(unencoded, Method::GET, AGENTS, 400).code(MALFORMED).change(change);
    let upper_case_or_encoded = "an id in upper case, or percent-encoded";
    let two_slashes = |path| {
        list_agents("two slashes anywhere in the path", Method::GET, path, 404).code("route_not_found")
    };
    vec![
        list_agents("one slash at the end of the path", Method::GET, "/chatkit/agents/", 200),
        get_session("one slash at the end of the path", "{session}/", 200),
        two_slashes("/chatkit//agents"),
        two_slashes("/chatkit/agents//"),
        get_session("two slashes anywhere in the path", "/chatkit//sessions/7", 404).code("route_not_found"),
        list_agents("a letter of the path percent-encoded", Method::GET, "/chatkit/%61gents", 200),
        get_session("a slash percent-encoded", "/chatkit/sessions/a%2Fb", 400).code("malformed_id"),
        list_agents("the path in upper case", Method::GET, "/CHATKIT/AGENTS", 404).code("route_not_found"),
        get_session(upper_case_or_encoded, "{session-ID}", 200),
        get_session(upper_case_or_encoded, "{%session}", 200),
        query(|event| event["rawQueryString"] = "a=b c".into()),
        query(|event| event["rawQueryString"] = "a=\"".into()),
        query(|event| event["rawQueryString"] = "<".into()),
        query(|event| event["rawQueryString"] = "a=b#c".into()),
        query(|event| event["rawQueryString"] = "a=\u{1}".into()),
        get_session("a query with a percent sign that encodes nothing", "{session}?include=%zz", 422)
            .code("invalid_request"),
    ]
}

fn headers() -> Vec<Row> {
    let malformed = "a line break or another control character in a header, or a space in its name";
    let invalid = |change| list_agents(malformed, Method::GET, AGENTS, 400).code(MALFORMED).change(change);
    let repeated = "a header given several times, or with several values";
    let if_none_match = "`If-None-Match` with `*`, a list, or weak tags (`W/\"…\"`)";
    vec![
        list_agents("names in any case", Method::GET, AGENTS, 200).change(|event| {
            for headers in ["headers", "multiValueHeaders"] {
                let Some(headers) = event.get_mut(headers).and_then(Value::as_object_mut) else { continue };
                *headers = std::mem::take(headers)
                    .into_iter()
                    .map(|(name, value)| (name.to_uppercase().replace('I', "i"), value))
                    .collect();
            }
        }),
        get_session(repeated, "{session}", 304).header("if-none-match", "\"a\"").header("if-none-match", "*"),
        get_session(repeated, "{session}", 200)
            .header("accept", "text/html")
            .header("accept", "*/*, application/json"),
        list_agents("`Authorization` given twice", Method::GET, AGENTS, 401).code("invalid_token"),
        list_agents("characters beyond ASCII in a header", Method::GET, AGENTS, 200)
            .header("user-agent", "\u{fc}\u{1F4B6}".as_bytes()),
        invalid(|event| set_header(event, "x-a", "b\r\nc")),
        invalid(|event| set_header(event, "x-a", "b\u{0}")),
        invalid(|event| set_header(event, "x a", "b")),
        get_session(if_none_match, "{session}", 304).header("if-none-match", "*"),
        get_session(if_none_match, "{session}", 200).header("if-none-match", "W/\"a\", \"b\""),
        list_agents("a `Host` that no host can have", Method::GET, AGENTS, 200).header("host", "a b"),
        list_agents("`Cookie`", Method::GET, AGENTS, 200).header("cookie", "authorization=a; b=c"),
    ]
}

fn set_header(event: &mut Value, name: &str, value: &str) {
    event["headers"][name] = value.into();
    if event.get("multiValueHeaders").is_some() {
        event["multiValueHeaders"][name] = serde_json::json!([value]);
    }
}

fn types() -> Vec<Row> {
    let json = "`Content-Type: application/json`, in any case, with `charset=utf-8` or any other parameter";
    let charset = "`charset=utf-16`, or any other than UTF-8";
    let others = "`application/problem+json`, `text/json`, `text/plain`, none";
    let several = "several content types, also twice the same";
    let encoded = |coding: &'static str| {
        record_event("`Content-Encoding: gzip`, or any other", b"application/json", 415)
            .header("content-encoding", coding)
            .code("unsupported_content_encoding")
            .response_header("accept-encoding", "identity")
    };
    vec![
        record_event(json, b"application/json", 201),
        record_event(json, b"APPLICATION/JSON;Charset=\"UTF-8\"", 201),
        record_event(json, b"application/json; profile=a", 201),
        record_event(charset, b"application/json; charset=utf-16", 415).code(MEDIA_TYPE),
        record_event(charset, b"application/json; charset=iso-8859-1", 415).code(MEDIA_TYPE),
        record_event(others, b"application/problem+json", 415).code(MEDIA_TYPE),
        record_event(others, b"text/json", 415).code(MEDIA_TYPE),
        record_event(others, b"text/plain", 415).code(MEDIA_TYPE),
        record_event(others, b"", 415).code(MEDIA_TYPE),
        record_event(several, b"application/json, text/plain", 415).code(MEDIA_TYPE),
        record_event(several, b"application/json", 415)
            .header("content-type", "application/json")
            .code(MEDIA_TYPE),
        record_event("`Content-Encoding: identity`", b"application/json", 201)
            .header("content-encoding", "identity"),
        encoded("gzip"),
        encoded("br, identity"),
    ]
}

fn bodies() -> Vec<Row> {
    let invalid_base64 = "a body that is declared as base64 and is not";
    let invalid =
        |change| record_event(invalid_base64, b"application/json", 400).code(MALFORMED).change(change);
    vec![
        record_event("a UTF-8 byte order mark before the JSON", b"application/json", 400)
            .body(format!("\u{feff}{CLICK}"))
            .code("malformed_body"),
        record_event("a body that the gateway hands over in base64", b"application/json", 201).change(
            |event| {
                use base64::{Engine, engine::general_purpose::STANDARD};
                event["body"] = STANDARD.encode(CLICK).into();
                event["isBase64Encoded"] = true.into();
            },
        ),
        invalid(|event| event["isBase64Encoded"] = true.into()),
        invalid(|event| {
            event["body"] = "e30".into();
            event["isBase64Encoded"] = true.into();
        }),
    ]
}
