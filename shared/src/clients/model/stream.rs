//! The stream of a response.

use super::{
    ModelCause, ModelError, ModelEvent,
    parse::InvalidEvent,
    sse::{EventTooLarge, SseDecoder, SseEvent},
};
use crate::platform::http_client::{Deadline, ResponseStream, TransportError};

/// Maximum size of a stream in bytes. An answer of 128,000 tokens has about 30 MB of events.
const MAX_STREAM_BYTES: usize = 64 * 1024 * 1024;

/// The events of a response, in order. Dropping it closes the connection, which makes the server
/// stop.
#[derive(Debug)]
pub struct ModelStream {
    body: ResponseStream,
    deadline: Deadline,
    reader: EventReader,
}

impl ModelStream {
    pub(super) fn new(body: ResponseStream, deadline: Deadline) -> Self {
        Self { body, deadline, reader: EventReader::default() }
    }

    /// Returns the server's id of the request, for its support.
    pub fn request_id(&self) -> Option<String> {
        self.body.request_id()
    }

    /// Returns the next event, or `None` after the event that ended the response. Events that a
    /// conversation does not need are left out.
    ///
    /// This function is cancel safe: an event is not lost if its future is dropped.
    ///
    /// # Errors
    /// Returns [`ModelCause::Cut`] if the stream ends without such an event,
    /// [`ModelCause::TimedOut`] at the deadline, and [`ModelCause::TooLarge`] beyond the limits of
    /// an event and of the stream.
    pub async fn next(&mut self) -> Result<Option<ModelEvent>, ModelError> {
        loop {
            if self.reader.is_ended {
                return Ok(None);
            }
            if let Some(event) = self.reader.next_event().map_err(|cause| self.error(cause))? {
                return Ok(Some(event));
            }
            let arrived = tokio::time::timeout(self.deadline.remaining(), self.body.chunk()).await;
            let chunk = arrived.unwrap_or(Err(TransportError::TimedOut)).map_err(|failure| {
                let cause = ModelCause::from_transport_error(&failure);
                ModelError { failure: Some(failure), ..self.error(cause) }
            })?;
            let Some(chunk) = chunk else {
                return Err(self.error(ModelCause::Cut));
            };
            self.reader.push(&chunk).map_err(|cause| self.error(cause))?;
        }
    }

    fn error(&self, cause: ModelCause) -> ModelError {
        ModelError::in_stream(cause, self.body.request_id())
    }
}

/// Reads events from bytes, without a connection.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    decoder: SseDecoder,
    received: usize,
    /// Whether an event has ended the response. Whatever follows it is ignored.
    pub is_ended: bool,
}

impl EventReader {
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ModelCause> {
        self.received += chunk.len();
        if self.received > MAX_STREAM_BYTES {
            return Err(ModelCause::TooLarge);
        }
        self.decoder.push(chunk).map_err(|EventTooLarge| ModelCause::TooLarge)
    }

    /// Returns the next event that a conversation needs, if it has arrived.
    pub fn next_event(&mut self) -> Result<Option<ModelEvent>, ModelCause> {
        while let Some(SseEvent { name, data }) = self.decoder.next_event() {
            let event = ModelEvent::parse(&name, &data).map_err(|InvalidEvent| ModelCause::BadAnswer)?;
            if event != ModelEvent::Ignored {
                self.is_ended = event.is_terminal();
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}
