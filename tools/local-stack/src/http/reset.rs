//! A connection that is reset instead of being answered.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, Response};
use futures_util::{StreamExt, future, stream};

/// Marks a response that is never sent: the connection is reset in its place.
#[derive(Clone, Copy, Debug)]
pub struct Reset;

/// A response that stands for a reset.
pub fn reset() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Reset);
    response
}

/// The same response with half of its body; then the connection breaks.
pub async fn cut(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = stream::once(future::ready(Ok::<_, std::io::Error>(body.slice(..body.len() / 2))));
    let end = stream::once(async {
        // Time for the half to leave: with the error the connection closes at once.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Response::from_parts(parts, Body::from_stream(half.chain(end)))
}

/// What `hyper` wants of a service.
pub type Answered = Result<Response<Body>, Infallible>;
