//! Converts a streamed response of a function into the HTTP response for the client, part by part.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>

use std::collections::BTreeMap;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::response::InvocationFailure;
use super::runtime_api::Answer;

/// Separates the prelude from the body.
const DELIMITER: [u8; 8] = [0; 8];

/// The largest prelude that API Gateway accepts.
const MAX_PRELUDE_BYTES: usize = 16 * 1024;

/// Number of parts that wait for a slow client.
const QUEUED_PARTS: usize = 16;

/// Status and headers of a response.
#[derive(Debug)]
struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

/// The JSON before the delimiter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prelude {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    #[serde(default)]
    multi_value_headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    cookies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A response that arrives.
pub struct StreamedResponse {
    head: oneshot::Receiver<Result<Head, InvocationFailure>>,
    body: mpsc::Receiver<io::Result<Bytes>>,
}

/// The function's side of a response.
pub struct Forwarder {
    head: Option<oneshot::Sender<Result<Head, InvocationFailure>>>,
    body: mpsc::Sender<io::Result<Bytes>>,
}

/// Creates both sides of a response.
pub fn channel() -> (Forwarder, StreamedResponse) {
    let (head, received_head) = oneshot::channel();
    let (body, received_body) = mpsc::channel(QUEUED_PARTS);
    (Forwarder { head: Some(head), body }, StreamedResponse { head: received_head, body: received_body })
}

impl Forwarder {
    /// Forwards the response of an invocation to its end, even if the client has left: Lambda does
    /// not notify a function of that. `invoke` sends the parts to the channel that it receives.
    pub async fn run<F>(
        mut self,
        invoke: impl FnOnce(mpsc::Sender<Bytes>) -> F,
    ) -> Result<(), InvocationFailure>
    where
        F: Future<Output = Result<Answer, InvocationFailure>>,
    {
        let (sender, parts) = mpsc::channel(QUEUED_PARTS);
        let (invoked, forwarded) = tokio::join!(invoke(sender), self.forward(parts));
        let outcome = invoked.and_then(|answer| match answer {
            Answer::Streamed => forwarded,
            // A function URL on AWS passes it on as it is, with status 200.
            Answer::Buffered(_) => Err(invalid("the function streams, but responded with a whole response")),
        });
        if let Err(failure) = &outcome {
            match self.head.take() {
                Some(head) => drop(head.send(Err(failure.clone()))),
                // Cuts the connection.
                None => drop(self.body.send(Err(io::Error::other("the function failed"))).await),
            }
        }
        outcome
    }

    async fn forward(&mut self, mut parts: mpsc::Receiver<Bytes>) -> Result<(), InvocationFailure> {
        let mut received = Vec::new();
        let mut outcome = Err(invalid("the response has no delimiter after its prelude"));
        while let Some(part) = parts.recv().await {
            if self.head.is_none() {
                let _ = self.body.send(Ok(part)).await;
                continue;
            }
            if received.len() > MAX_PRELUDE_BYTES {
                continue;
            }
            received.extend_from_slice(&part);
            let Some(at) = received.windows(DELIMITER.len()).position(|window| window == DELIMITER) else {
                continue;
            };
            match parse_prelude(&received[..at]) {
                Ok(head) => {
                    self.head.take().map(|sender| sender.send(Ok(head)));
                    outcome = Ok(());
                    let rest = received.split_off(at + DELIMITER.len());
                    if !rest.is_empty() {
                        let _ = self.body.send(Ok(rest.into())).await;
                    }
                }
                Err(failure) => {
                    outcome = Err(failure);
                    received.resize(MAX_PRELUDE_BYTES + 1, 0);
                }
            }
        }
        outcome
    }
}

impl StreamedResponse {
    /// Waits for the head of the response. The body arrives later.
    pub async fn into_response(self) -> Result<Response<Body>, InvocationFailure> {
        let Self { head, mut body } = self;
        let closed = || InvocationFailure::Exited("the stack has stopped".to_owned());
        let Head { status, headers } = head.await.unwrap_or_else(|_| Err(closed()))?;
        let parts = stream::poll_fn(move |context| body.poll_recv(context));
        let mut response = Response::new(Body::from_stream(parts));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn parse_prelude(json: &[u8]) -> Result<Head, InvocationFailure> {
    let prelude: Prelude = serde_json::from_slice(json).map_err(|error| invalid(&error.to_string()))?;
    let status = StatusCode::from_u16(prelude.status_code).map_err(|error| invalid(&error.to_string()))?;
    let mut headers = HeaderMap::new();
    let single = prelude.headers.into_iter().map(|(name, values)| match values {
        OneOrMore::One(value) => (name, vec![value]),
        OneOrMore::More(values) => (name, values),
    });
    let cookies = (header::SET_COOKIE.to_string(), prelude.cookies);
    for (name, values) in single.chain(prelude.multi_value_headers).chain([cookies]) {
        let name = HeaderName::try_from(&name).map_err(|_| invalid("a header has an invalid name"))?;
        for value in values {
            let value = HeaderValue::try_from(&value);
            let value = value.map_err(|_| invalid(&format!("invalid value of the header {name}")))?;
            // The front end sets it itself.
            if name != header::CONTENT_LENGTH {
                headers.append(&name, value);
            }
        }
    }
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
    Ok(Head { status, headers })
}

fn invalid(why: &str) -> InvocationFailure {
    InvocationFailure::InvalidResponse(why.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Returns the outcome of a response with these parts, and its body as far as it arrived.
    async fn forward(parts: &[&'static [u8]]) -> (Result<(), InvocationFailure>, Option<(u16, String)>) {
        let (forwarder, response) = channel();
        let client = tokio::spawn(async {
            let response = response.into_response().await.ok()?;
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.ok()?;
            Some((status, String::from_utf8_lossy(&body).into_owned()))
        });
        let outcome = forwarder.run(async |sender: mpsc::Sender<Bytes>| {
            for part in parts {
                sender.send(Bytes::from_static(part)).await.unwrap();
            }
            Ok(Answer::Streamed)
        });
        (outcome.await, client.await.unwrap())
    }

    #[tokio::test]
    async fn prelude_in_any_parts_becomes_the_head() {
        let expected = (Ok(()), Some((201, "a\0b".to_owned())));
        let whole = b"{\"statusCode\":201}\0\0\0\0\0\0\0\0a\0b";
        assert_eq!(forward(&[whole]).await, expected);
        for at in 1..whole.len() {
            assert_eq!(forward(&[&whole[..at], &whole[at..]]).await, expected, "{at}");
        }
    }

    #[test]
    fn headers_and_cookies_are_kept() {
        let prelude = br#"{"statusCode":200,"headers":{"a":"1","content-length":"9"},
            "multiValueHeaders":{"b":["2","3"]},"cookies":["c=d","e=f"]}"#;
        let Head { headers, .. } = parse_prelude(prelude).unwrap();
        let values = |name: &str| headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(values("a"), ["1"]);
        assert_eq!(values("b"), ["2", "3"]);
        assert_eq!(values("set-cookie"), ["c=d", "e=f"]);
        assert!(values("content-length").is_empty());
        assert_eq!(values("content-type"), ["application/octet-stream"]);
    }

    #[tokio::test]
    async fn invalid_prelude_is_a_failure_without_a_response() {
        let long = Box::leak(vec![b' '; MAX_PRELUDE_BYTES + 1].into_boxed_slice());
        let cases: [&[&'static [u8]]; 6] = [
            &[],
            &[b"{\"statusCode\":200}"],
            &[b"{\"statusCode\":200}\0\0\0\0\0\0\0", b"a"],
            &[b"data: 1\0\0\0\0\0\0\0\0", b"a"],
            &[b"{\"statusCode\":99}\0\0\0\0\0\0\0\0"],
            &[long, b"{\"statusCode\":200}\0\0\0\0\0\0\0\0"],
        ];
        for parts in cases {
            let (outcome, response) = forward(parts).await;
            assert!(matches!(outcome, Err(InvocationFailure::InvalidResponse(_))), "{outcome:?}");
            assert_eq!(response, None);
        }
    }
}
