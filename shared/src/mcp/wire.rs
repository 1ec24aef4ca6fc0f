//! The HTTP under rmcp's transport: our client, with our bounds, and nothing of what a server says in a log or an error.
//! Source: <https://modelcontextprotocol.io/specification/2026-07-28/basic/transports>, and the same page of the older revisions.

use std::{collections::HashMap, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use rmcp::{
    model::{
        ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
    },
    transport::streamable_http_client::{
        SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::{Sse, SseStream};
use url::Url;

use super::{course::Course, error::Reason};
use crate::{outbound::Outbound, upstream};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Before a stopped answer is taken up again.
const BREATH: Duration = Duration::from_millis(100);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// One call's way to one server.
#[derive(Clone)]
pub(super) struct Wire {
    pub outbound: Outbound,
    pub url: Url,
    /// Ours for this server. rmcp never holds it.
    pub bearer: Option<HeaderValue>,
    /// The trace that the call belongs to, as its header has it.
    pub traceparent: Option<HeaderValue>,
    pub course: Arc<Course>,
}

/// A request that came to nothing; why is on record.
#[derive(Debug)]
pub(super) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request came to nothing")
    }
}

impl std::error::Error for Stopped {}

type Headers = HashMap<HeaderName, HeaderValue>;
type Error = StreamableHttpError<Stopped>;
type Posted = StreamableHttpPostResponse;
type Events = BoxStream<'static, Result<Sse, SseError>>;

const STOPPED: Error = StreamableHttpError::Client(Stopped);

/// What of a message decides how its answer is read.
enum Sent {
    /// The probe for the newest revision.
    Discover(RequestId),
    /// The tool's call.
    Call,
    /// Another request.
    Request,
    /// What needs no answer.
    Notice,
}

impl Sent {
    fn of(message: &ClientJsonRpcMessage) -> Self {
        let JsonRpcMessage::Request(request) = message else { return Self::Notice };
        match &request.request {
            ClientRequest::DiscoverRequest(_) => Self::Discover(request.id.clone()),
            ClientRequest::CallToolRequest(_) => Self::Call,
            _ => Self::Request,
        }
    }

    fn is_call(&self) -> bool {
        matches!(self, Self::Call)
    }
}

impl StreamableHttpClient for Wire {
    type Error = Stopped;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<Posted, Error> {
        let sent = Sent::of(&message);
        let mut request = self.request(Method::POST, session_id.as_deref(), headers)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        *request.body_mut() = Some(serde_json::to_vec(&message)?.into());
        if !matches!(sent, Sent::Notice) {
            self.course.begins(sent.is_call());
        }
        let response = self.send(request, &sent).await?;
        let session = response.headers().get(SESSION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        match (response.status(), content_type(&response)) {
            (status, _) if !status.is_success() => self.refused(response, sent, session_id.is_some()).await,
            _ if matches!(sent, Sent::Notice) => Ok(Posted::Accepted),
            (StatusCode::ACCEPTED | StatusCode::NO_CONTENT, _) => Err(self.nonsense()),
            (_, Some(Kind::Events)) => Ok(Posted::Sse(self.events(response), session)),
            (_, Some(Kind::Json)) => {
                let message =
                    serde_json::from_slice(&self.body(response).await?).map_err(|_| self.nonsense())?;
                Ok(Posted::Json(self.answer(message, sent)?, session))
            }
            (_, None) => Err(self.nonsense()),
        }
    }

    /// An answer that stopped is taken up where the server lets us. The stream of what has nothing to do with a request is not
    /// opened: nobody would be there to listen.
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
        let last = HeaderValue::from_str(&last).map_err(|_| STOPPED)?;
        if !self.course.resumes() {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        tokio::time::sleep(BREATH).await;
        request.headers_mut().insert(LAST_EVENT_ID, last);
        let response = self.outbound.send(request).await.map_err(|_| STOPPED)?;
        match (response.status(), content_type(&response)) {
            (StatusCode::OK, Some(Kind::Events)) => Ok(self.events(response)),
            (status, _) if status.is_server_error() => Err(STOPPED),
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
        // A courtesy; servers let sessions run out.
        let request = self.request(Method::DELETE, Some(&session_id), headers)?;
        self.outbound.send(request).await.map(|_| ()).map_err(|_| STOPPED)
    }
}

impl Wire {
    fn request(&self, method: Method, session: Option<&str>, headers: Headers) -> Result<Request, Error> {
        let mut request = Request::new(method, self.url.clone());
        request.headers_mut().extend(headers);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(session) = session {
            let session = HeaderValue::from_str(session).map_err(|_| STOPPED)?;
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

    async fn send(&self, request: Request, sent: &Sent) -> Result<Response, Error> {
        self.outbound.send(request).await.map_err(|failure| {
            match Reason::from(&failure) {
                _ if matches!(sent, Sent::Notice) => {}
                Reason::ConnectionLost => self.course.broke(Reason::ConnectionLost),
                reason => self.course.not_taken(sent.is_call(), reason),
            }
            STOPPED
        })
    }

    /// A server of an older revision refuses the probe by whatever 4xx comes to its mind; rmcp then goes on to `initialize`.
    async fn refused(&self, response: Response, sent: Sent, in_session: bool) -> Result<Posted, Error> {
        let status = response.status();
        let forgotten = status == StatusCode::NOT_FOUND && in_session;
        let older = status.is_client_error()
            && !matches!(status.as_u16(), 401 | 403 | 408 | 429)
            && matches!(sent, Sent::Discover(_));
        match sent {
            Sent::Notice => {}
            Sent::Discover(id) if older => {
                let said = self.body(response).await.ok();
                let error =
                    match said.and_then(|body| serde_json::from_slice::<ServerJsonRpcMessage>(&body).ok()) {
                        Some(JsonRpcMessage::Error(said)) => said.error,
                        _ => ErrorData::invalid_request("refused", None),
                    };
                return Ok(Posted::Json(ServerJsonRpcMessage::error(error, Some(id)), None));
            }
            _ if forgotten => self.course.not_taken(sent.is_call(), Reason::SessionLost),
            _ => self.course.refused(status.as_u16(), upstream::retry_after(response.headers())),
        }
        Err(STOPPED)
    }

    fn answer(&self, mut message: ServerJsonRpcMessage, sent: Sent) -> Result<ServerJsonRpcMessage, Error> {
        match (&mut message, sent) {
            // The refusal of the probe need not know its id.
            (JsonRpcMessage::Error(error), Sent::Discover(id)) => error.id = Some(id),
            (JsonRpcMessage::Error(error), _) => self.course.failed(error.error.code.0),
            (JsonRpcMessage::Response(_), _) => {}
            _ => return Err(self.nonsense()),
        }
        Ok(message)
    }

    fn nonsense(&self) -> Error {
        self.course.broke(Reason::Nonsense);
        STOPPED
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = next(&mut response, &self.course).await.map_err(|_| STOPPED)? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn events(&self, response: Response) -> Events {
        let chunks = stream::unfold(Some((response, self.course.clone())), async |state| {
            let (mut response, course) = state?;
            match next(&mut response, &course).await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some((response, course)))),
                Ok(None) => {
                    course.broke(Reason::ConnectionLost);
                    None
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        let course = self.course.clone();
        let noted = move |event: &Result<Sse, SseError>| {
            let data = event.as_ref().ok().and_then(|event| event.data.as_deref());
            if let Some(Ok(JsonRpcMessage::Error(error))) =
                data.map(serde_json::from_str::<ServerJsonRpcMessage>)
            {
                course.failed(error.error.code.0);
            }
        };
        SseStream::from_bytes_stream(chunks.boxed()).inspect(noted).boxed()
    }
}

/// The next bytes of an answer, if the call may take in so many.
async fn next(response: &mut Response, course: &Course) -> io::Result<Option<Bytes>> {
    let broken = |_| {
        course.broke(Reason::ConnectionLost);
        io::Error::from(io::ErrorKind::ConnectionAborted)
    };
    let chunk = response.chunk().await.map_err(broken)?;
    let fits = chunk.as_ref().is_none_or(|chunk| course.takes(chunk.len()));
    fits.then_some(chunk).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

enum Kind {
    Json,
    Events,
}

fn content_type(response: &Response) -> Option<Kind> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    match () {
        () if essence.eq_ignore_ascii_case(JSON) => Some(Kind::Json),
        () if essence.eq_ignore_ascii_case(EVENTS) => Some(Kind::Events),
        () => None,
    }
}
