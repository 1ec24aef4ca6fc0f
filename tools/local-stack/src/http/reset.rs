//! Responses that reset or cut the connection.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, Response};
use futures_util::{StreamExt, future, stream};

/// Marks a response that is not sent: the server resets the connection instead.
#[derive(Clone, Copy, Debug)]
pub struct Reset;

/// Returns a response that makes the server reset the connection.
pub fn reset() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Reset);
    response
}

/// Returns the response with the first half of its body, after which the connection breaks.
pub async fn cut(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = stream::once(future::ready(Ok::<_, std::io::Error>(body.slice(..body.len() / 2))));
    let end = stream::once(async {
        wait_for_flush().await;
        Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Response::from_parts(parts, Body::from_stream(half.chain(end)))
}

/// Lets the bytes that a body has returned leave before it fails, which closes the connection at
/// once.
pub async fn wait_for_flush() {
    // hyper writes what it has as soon as the body is pending. A sleep alone may never be pending:
    // a busy machine resumes it after its end.
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// The result type that `hyper` requires of a service.
pub type ServiceResult = Result<Response<Body>, Infallible>;
