//! HTTP transport for rmcp: our HTTP client, with our limits. Logs and errors contain
//! nothing that a server sent.
//! Source: <https://modelcontextprotocol.io/specification/2026-07-28/basic/transports>, and the
//! same page of the older revisions.

use std::{collections::HashMap, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, RequestId, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::{Sse, SseStream};
use url::Url;

use super::{call_state::CallState, error::Reason, reply};
use crate::platform::{egress::EgressClient, http_client as upstream};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Timeout for the response to a notification, which needs none.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Delay before an interrupted response is resumed.
const RESUME_DELAY: Duration = Duration::from_millis(100);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Transport of one call to one server.
#[derive(Clone)]
pub(super) struct HttpTransport {
    pub outbound: EgressClient,
    pub url: Url,
    /// Our bearer token for this server. rmcp never holds it.
    pub bearer: Option<HeaderValue>,
    /// `traceparent` header of the trace that the call belongs to.
    pub traceparent: Option<HeaderValue>,
    pub state: Arc<CallState>,
}

/// A request that failed. [`CallState`] holds the reason.
#[derive(Debug)]
pub(super) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was aborted")
    }
}

impl std::error::Error for Aborted {}

type Headers = HashMap<HeaderName, HeaderValue>;
type Error = StreamableHttpError<Aborted>;
type PostResponse = StreamableHttpPostResponse;
type Events = BoxStream<'static, Result<Sse, SseError>>;

const ABORTED: Error = StreamableHttpError::Client(Aborted);

/// Kind of a message, which decides how its response is read.
enum RequestKind {
    /// Probe for the newest revision.
    Probe,
    /// The tool call, with its request id.
    Call(RequestId),
    Request,
    /// A notification, which needs no response.
    Notice,
}

impl RequestKind {
    fn from_message(message: &ClientJsonRpcMessage) -> Self {
        let JsonRpcMessage::Request(request) = message else { return Self::Notice };
        match &request.request {
            ClientRequest::DiscoverRequest(_) => Self::Probe,
            ClientRequest::CallToolRequest(_) => Self::Call(request.id.clone()),
            _ => Self::Request,
        }
    }

    fn is_call(&self) -> bool {
        matches!(self, Self::Call(_))
    }
}

impl StreamableHttpClient for HttpTransport {
    type Error = Aborted;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<PostResponse, Error> {
        let sent = RequestKind::from_message(&message);
        let mut request = self.request(Method::POST, session_id.as_deref(), headers)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        // Serialised as a value first, since rmcp makes one of every message anyway. A second
        // serialiser for all of its types would add 50 KB to the binary.
        *request.body_mut() = Some(serde_json::to_value(&message)?.to_string().into());
        if !matches!(sent, RequestKind::Notice) {
            self.state.request_sent(match &sent {
                RequestKind::Call(id) => Some(id),
                _ => None,
            });
        }
        if matches!(sent, RequestKind::Notice) {
            // The call will show whether the server is reachable and knows the session.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.send(request, &sent)).await;
            return Ok(PostResponse::Accepted);
        }
        let response = self.send(request, &sent).await?;
        let session = response.headers().get(SESSION_ID).cloned();
        if let (RequestKind::Probe, Some(session)) = (&sent, &session) {
            self.state.open_probe_session(session.clone());
        }
        let session = session.and_then(|id| id.to_str().ok().map(str::to_owned));
        match (response.status(), is_events(&response)) {
            (status, _) if !status.is_success() => {
                self.error_response(response, &sent, session_id.is_some()).await
            }
            (StatusCode::ACCEPTED | StatusCode::NO_CONTENT, _) => Err(self.invalid_response()),
            (_, true) => Ok(PostResponse::Sse(self.events(response), session)),
            (_, false) => {
                let body = self.read_body(response).await?;
                Ok(PostResponse::Json(self.parse_message(&String::from_utf8_lossy(&body), &sent)?, session))
            }
        }
    }

    /// Resumes an interrupted response if the server allows it. The stream for messages that belong
    /// to no request is not opened, since nothing would read it.
    async fn get_stream(
        &self,
        _: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<Events, Error> {
        let last = last_event_id.ok_or(StreamableHttpError::ServerDoesNotSupportSse)?;
        let mut request = self.request(Method::GET, session_id.as_deref(), headers)?;
        let last = HeaderValue::from_str(&last).map_err(|_| ABORTED)?;
        if !self.state.try_resume() {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        tokio::time::sleep(RESUME_DELAY).await;
        request.headers_mut().insert(LAST_EVENT_ID, last);
        let response = self.outbound.send(request).await.map_err(|_| ABORTED)?;
        match (response.status(), is_events(&response)) {
            (StatusCode::OK, true) => Ok(self.events(response)),
            (status, _) if status.is_server_error() => Err(ABORTED),
            _ => Err(StreamableHttpError::ServerDoesNotSupportSse),
        }
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session_id: Arc<str>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<(), Error> {
        self.close(HeaderValue::from_str(&session_id).map_err(|_| ABORTED)?, headers).await
    }
}

impl HttpTransport {
    fn request(&self, method: Method, session: Option<&str>, headers: Headers) -> Result<Request, Error> {
        let mut request = Request::new(method, self.url.clone());
        request.headers_mut().extend(headers);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        // A request without this header accepts any coding (RFC 9110, 12.5.3), and
        // this binary has no decoder.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(session) = session {
            let session = HeaderValue::from_str(session).map_err(|_| ABORTED)?;
            request.headers_mut().insert(SESSION_ID, session);
        }
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        if let Some(traceparent) = &self.traceparent {
            request.headers_mut().insert(TRACEPARENT, traceparent.clone());
        }
        Ok(request)
    }

    async fn send(&self, request: Request, sent: &RequestKind) -> Result<Response, Error> {
        self.outbound.send(request).await.map_err(|failure| {
            match Reason::from(&failure) {
                _ if matches!(sent, RequestKind::Notice) => {}
                Reason::ConnectionLost => self.state.stream_failed(Reason::ConnectionLost),
                reason => self.state.not_delivered(sent.is_call(), reason),
            }
            ABORTED
        })
    }

    /// Records what an error status means. By the protocol, 404 means that the server does not know
    /// the session. Older servers respond with 400 and a text about the session. Some respond with
    /// 401, which is not about a credential that `initialize` was just accepted with.
    async fn error_response(
        &self,
        response: Response,
        sent: &RequestKind,
        in_session: bool,
    ) -> Result<PostResponse, Error> {
        let status = response.status().as_u16();
        let retry_after = upstream::retry_after(response.headers());
        match status {
            // A server of a newer revision responds with 400 and the revisions that it speaks.
            400 if matches!(sent, RequestKind::Probe) => {
                self.state.http_error(status, retry_after);
                let said = self.read_body(response).await?;
                if let Ok(said @ JsonRpcMessage::Error(_)) =
                    serde_json::from_str(&String::from_utf8_lossy(&said))
                {
                    return Ok(PostResponse::Json(said, None));
                }
            }
            404 | 410 if in_session => self.state.session_lost(sent.is_call(), None),
            400 | 401 if in_session => {
                let said = self.read_body(response).await.unwrap_or_default().to_ascii_lowercase();
                let about = |word: &[u8]| said.windows(word.len()).any(|part| part == word);
                match about(b"session") || about(b"not initialized") {
                    true => self.state.session_lost(sent.is_call(), None),
                    false if status == 401 => self.state.session_lost(sent.is_call(), Some(status)),
                    false => self.state.http_error(status, retry_after),
                }
            }
            _ => self.state.http_error(status, retry_after),
        }
        Err(ABORTED)
    }

    fn parse_message(&self, text: &str, sent: &RequestKind) -> Result<ServerJsonRpcMessage, Error> {
        let rewritten = match sent {
            RequestKind::Call(id) => reply::read(text, id, &self.state),
            _ => None,
        };
        let message = rewritten.as_deref().unwrap_or(text);
        let message = serde_json::from_str(message).map_err(|_| self.invalid_response())?;
        match &message {
            JsonRpcMessage::Error(error) => self.state.rpc_error(error.error.code.0),
            JsonRpcMessage::Response(_) => {}
            _ => return Err(self.invalid_response()),
        }
        Ok(message)
    }

    fn invalid_response(&self) -> Error {
        self.state.stream_failed(Reason::NotMcp);
        ABORTED
    }

    async fn read_body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = next(&mut response, &self.state).await.map_err(|_| ABORTED)? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn events(&self, response: Response) -> Events {
        let chunks = stream::unfold(Some((response, self.state.clone())), async |state| {
            let (mut response, state) = state?;
            match next(&mut response, &state).await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some((response, state)))),
                Ok(None) => {
                    state.stream_failed(Reason::ConnectionLost);
                    None
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        let state = self.state.clone();
        let read = move |mut event: Sse| {
            let data = event.data.as_deref();
            if let Some(rewritten) =
                data.zip(state.call()).and_then(|(data, id)| reply::read(data, &id, &state))
            {
                event.data = Some(rewritten);
            } else if let Some(Ok(JsonRpcMessage::Error(error))) =
                data.map(serde_json::from_str::<ServerJsonRpcMessage>)
            {
                state.rpc_error(error.error.code.0);
            }
            event
        };
        SseStream::from_bytes_stream(chunks.boxed()).map(move |event| event.map(&read)).boxed()
    }

    /// Closes the session that a server opened for the probe. The call does not use it.
    pub async fn close_probe_session(&self) {
        if let Some(session) = self.state.take_probe_session() {
            let _ = self.close(session, Headers::new()).await;
        }
    }

    /// Closes a session, as a courtesy: servers let sessions expire. If two servers share one
    /// address, the other one may know the session, so a rejected request is repeated once.
    async fn close(&self, session: HeaderValue, headers: Headers) -> Result<(), Error> {
        for _ in 0..2 {
            let mut request = self.request(Method::DELETE, None, headers.clone())?;
            request.headers_mut().insert(SESSION_ID, session.clone());
            let closed = self.outbound.send(request).await.map_err(|_| ABORTED)?;
            if !matches!(closed.status().as_u16(), 400 | 401 | 404) {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the next bytes of a response, within the byte limit of the call.
async fn next(response: &mut Response, state: &CallState) -> io::Result<Option<Bytes>> {
    let broken = |_| {
        state.stream_failed(Reason::ConnectionLost);
        io::Error::from(io::ErrorKind::ConnectionAborted)
    };
    let chunk = response.chunk().await.map_err(broken)?;
    let fits = chunk.as_ref().is_none_or(|chunk| state.consume_bytes(chunk.len()));
    fits.then_some(chunk).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// Returns whether the response is an event stream. Every other content type is read as JSON.
fn is_events(response: &Response) -> bool {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(EVENTS)
}
