//! Client of the model's server.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};

use super::{ModelCause, ModelError, ModelRequest, ModelStream};
use crate::platform::{
    config::require_length,
    http_client::{
        Deadline, HttpClient, Idempotency, RetryPolicy, Streamed, TransportError,
        classification::model::TABLE,
    },
    secret::Secret,
    secret_store::Rotating,
};

/// Minimum length of a key. A server without keys may get a placeholder.
const MIN_KEY: usize = 8;

/// A repeat stores nothing and changes nothing; it only costs tokens. The first response may take
/// long, because some servers load the model first.
const STREAM: RetryPolicy = RetryPolicy {
    system: "model",
    try_timeout: Duration::from_secs(60),
    retry_window: Duration::from_secs(10),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| answer.cause(&TABLE, false).map(ModelCause::retry_decision).unwrap_or_default(),
};

const EVENT_STREAM: &str = "text/event-stream";

/// Client of one server, with one API key.
#[derive(Clone)]
pub struct ModelClient {
    http: HttpClient,
    responses: url::Url,
    key: Rotating<HeaderValue>,
    /// Azure reads its keys from a header of its own.
    is_azure: bool,
    /// The headers of every request, without the key.
    headers: HeaderMap,
}

impl ModelClient {
    /// Creates a client of the server at `base`. Every request carries `key` as a header.
    ///
    /// # Errors
    /// Returns a description of the expected format if `base` cannot be extended by a path.
    pub fn new(http: HttpClient, base: &url::Url, key: Rotating<HeaderValue>) -> Result<Self, String> {
        let responses = format!("{}/responses", base.as_str().trim_end_matches('/'));
        let responses = responses.parse().map_err(|_| "cannot be extended by a path".to_owned())?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        // A request without this header accepts any coding (RFC 9110, 12.5.3).
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { http, responses, key, is_azure: is_azure(base), headers })
    }

    /// Returns the headers of a request with this key.
    pub(super) fn headers(&self, key: &HeaderValue) -> HeaderMap {
        let mut headers = self.headers.clone();
        let api_key = key.as_bytes().strip_prefix(b"Bearer ").map(HeaderValue::from_bytes);
        if let Some(Ok(mut api_key)) = api_key.filter(|_| self.is_azure) {
            api_key.set_sensitive(true);
            headers.insert("api-key", api_key);
        } else {
            headers.insert(AUTHORIZATION, key.clone());
        }
        headers
    }

    /// Requests a response and returns its stream once the server has accepted the request. The
    /// deadline applies to the stream too.
    ///
    /// # Errors
    /// A request is retried if the server was not reached, was overloaded or limited the rate, as
    /// far as the deadline allows. A stream that has begun is not repeated.
    pub async fn stream(
        &self,
        request: &ModelRequest,
        deadline: Deadline,
    ) -> Result<ModelStream, ModelError> {
        let body = serde_json::to_vec(request);
        let body = body.map_err(|_| ModelError::in_stream(ModelCause::SettingsRejected, None))?;
        let body = Bytes::from(body);
        let send = |key: Arc<HeaderValue>| {
            let mut request = Request::new(Method::POST, self.responses.clone());
            *request.headers_mut() = self.headers(&key);
            *request.body_mut() = Some(body.clone().into());
            self.http.send_streamed(request, STREAM, deadline)
        };
        match self.key.send(send, is_key_refused).await? {
            Streamed::Body(body) if body.has_content_type(EVENT_STREAM) => {
                Ok(ModelStream::new(body, deadline))
            }
            Streamed::Body(body) => Err(ModelError::in_stream(ModelCause::NotEventStream, body.request_id())),
            Streamed::Response(response) => {
                let rejection = response.accepted(&TABLE, false).err();
                let error = rejection.map(|it| ModelError::from_rejection(it, response.request_id()));
                Err(error.unwrap_or_else(|| ModelError::in_stream(ModelCause::BadAnswer, None)))
            }
        }
    }
}

/// Returns whether the server refused the key. It then did not perform the request.
fn is_key_refused(answer: &Result<Streamed, TransportError>) -> bool {
    let Ok(Streamed::Response(response)) = answer else { return false };
    response.cause(&TABLE, false) == Some(ModelCause::KeyRejected)
}

fn is_azure(base: &url::Url) -> bool {
    let is_azure =
        |host: &str| host.ends_with(".openai.azure.com") || host.ends_with(".services.ai.azure.com");
    base.host_str().is_some_and(is_azure)
}

/// Parses `MODEL_API_KEY` into the header that carries it.
///
/// # Errors
/// Returns a description of the expected format.
pub fn parse_api_key(value: &str) -> Result<HeaderValue, String> {
    let bearer = Secret::new(format!("Bearer {value}"));
    let mut header =
        HeaderValue::from_str(bearer.expose()).map_err(|_| "contains characters that no key has")?;
    require_length(value, MIN_KEY)?;
    header.set_sensitive(true);
    Ok(header)
}
