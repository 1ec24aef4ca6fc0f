//! Server-sent events of a streamed response, as ChatKit reads them: one JSON value per event.
//!
//! The queue between the work and the response has no limit of events. If sending waited for a slow
//! client, the work could not save what it has done. A limit of bytes protects the memory instead:
//! beyond it, the stream ends with an error, and the work continues.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorCode};

/// Maximum number of bytes that are sent and not yet read. A long answer of a model has less than
/// one megabyte of events.
const MAX_UNREAD: usize = 4 * 1024 * 1024;

/// The event for a failed stream. ChatKit shows a localised text and a button for a retry.
const FAILURE: &str = r#"{"type":"error","code":"stream.error","allow_retry":true}"#;

/// The end of a stream, or a framed event.
type Message = Option<Bytes>;

/// Creates a stream of events. It ends when [`EventSender::end`] is called.
pub(crate) fn channel() -> (EventSender, EventReceiver) {
    let (queue, messages) = mpsc::unbounded_channel();
    let state = Arc::new(State::default());
    let sender = EventSender { queue, state: Arc::clone(&state) };
    (sender, EventReceiver { messages, state })
}

#[derive(Debug, Default)]
struct State {
    unread: AtomicUsize,
    has_sent: AtomicBool,
    has_sent_last: AtomicBool,
    has_overflowed: AtomicBool,
}

/// Sends the events of a stream.
#[derive(Clone)]
pub struct EventSender {
    queue: mpsc::UnboundedSender<Message>,
    state: Arc<State>,
}

/// The events of a stream, framed for the body of a response.
pub(crate) struct EventReceiver {
    messages: mpsc::UnboundedReceiver<Message>,
    state: Arc<State>,
}

impl EventSender {
    /// Sends an event. An event that cannot be delivered is dropped without an error, because the
    /// work goes on without its client.
    ///
    /// # Errors
    /// Fails only if the event cannot be serialised, which does not happen for our types.
    pub fn send(&self, event: &impl Serialize) -> Result<(), Error> {
        let frame = frame(event)?;
        self.push(frame);
        Ok(())
    }

    /// Sends the last event of the stream, for example an error that the handler explains. Later
    /// events are dropped, including the one for a failed stream.
    ///
    /// # Errors
    /// The same as [`EventSender::send`].
    pub fn send_last(&self, event: &impl Serialize) -> Result<(), Error> {
        self.send(event)?;
        self.state.has_sent_last.store(true, SeqCst);
        Ok(())
    }

    /// Returns whether events are dropped: the client has left, reads too slowly, or received the
    /// last event. On Lambda, a function does not notice that its client has left.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed() || self.state.has_sent_last.load(SeqCst)
    }

    /// Returns whether an event was sent, even to a client that has left.
    pub(crate) fn has_sent(&self) -> bool {
        self.state.has_sent.load(SeqCst)
    }

    /// Returns whether the client read so slowly that the stream ended early.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.state.has_overflowed.load(SeqCst)
    }

    /// Sends the event for a failed stream, unless the last event was sent.
    pub(crate) fn send_failure(&self) {
        self.push(Bytes::from(format!("data: {FAILURE}\n\n")));
        self.state.has_sent_last.store(true, SeqCst);
    }

    /// Ends the stream, even if another sender exists.
    pub(crate) fn end(&self) {
        // Fails if the client has left.
        let _ = self.queue.send(None);
    }

    fn push(&self, frame: Bytes) {
        if self.state.has_sent_last.load(SeqCst) {
            return;
        }
        self.state.has_sent.store(true, SeqCst);
        let size = frame.len();
        let is_full = self.state.unread.load(SeqCst) + size > MAX_UNREAD;
        if is_full && !self.queue.is_closed() {
            self.state.has_overflowed.store(true, SeqCst);
            self.state.has_sent_last.store(true, SeqCst);
            let _ = self.queue.send(Some(Bytes::from(format!("data: {FAILURE}\n\n"))));
        } else if self.queue.send(Some(frame)).is_ok() {
            self.state.unread.fetch_add(size, SeqCst);
        }
    }
}

/// Frames an event: `data: `, compact JSON and an empty line.
fn frame(event: &impl Serialize) -> Result<Bytes, Error> {
    let mut frame = b"data: ".to_vec();
    serde_json::to_writer(&mut frame, event).map_err(|error| Error::new(ErrorCode::Internal).cause(error))?;
    // A raw JSON value keeps its line breaks, which would end the event. They stand only between
    // tokens, where a space is equivalent.
    for byte in &mut frame {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    frame.extend_from_slice(b"\n\n");
    Ok(frame.into())
}

impl Stream for EventReceiver {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let message = ready!(self.messages.poll_recv(context)).flatten();
        let size = message.as_ref().map_or(0, Bytes::len);
        // The event after an overflow is not counted.
        let unread = &self.state.unread;
        let _ = unread.fetch_update(SeqCst, SeqCst, |unread| Some(unread.saturating_sub(size)));
        Poll::Ready(message)
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventSender").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use serde_json::{json, value::RawValue};

    use super::*;

    async fn received(receiver: EventReceiver) -> Vec<String> {
        let texts = receiver.map(|frame| String::from_utf8(frame.to_vec()).unwrap());
        texts.collect().await
    }

    fn failure() -> String {
        format!("data: {FAILURE}\n\n")
    }

    #[tokio::test]
    async fn event_is_one_line_of_compact_json() {
        let (sender, receiver) = channel();
        sender.send(&json!({ "more": [1, null], "text": "a\nb\u{2028}" })).unwrap();
        let raw = RawValue::from_string("{\n  \"a\": 1\r\n}".to_owned()).unwrap();
        sender.send(&raw).unwrap();
        sender.end();
        assert_eq!(
            received(receiver).await,
            ["data: {\"more\":[1,null],\"text\":\"a\\nb\u{2028}\"}\n\n", "data: {   \"a\": 1  }\n\n"]
        );
    }

    #[tokio::test]
    async fn stream_ends_although_another_sender_exists() {
        let (sender, receiver) = channel();
        let other = sender.clone();
        sender.send(&1).unwrap();
        sender.end();
        other.send(&2).unwrap();
        assert_eq!(received(receiver).await, ["data: 1\n\n"]);
    }

    #[tokio::test]
    async fn nothing_follows_the_last_event() {
        let (sender, receiver) = channel();
        assert!(!sender.is_closed());
        sender.send_last(&1).unwrap();
        assert!(sender.is_closed());
        sender.send(&2).unwrap();
        sender.send_failure();
        sender.end();
        assert_eq!(received(receiver).await, ["data: 1\n\n"]);
    }

    #[tokio::test]
    async fn client_that_has_left_is_no_error() {
        let (sender, receiver) = channel();
        drop(receiver);
        sender.send(&1).unwrap();
        assert!(sender.is_closed() && sender.has_sent() && !sender.has_overflowed());
    }

    #[tokio::test]
    async fn slow_client_gets_an_error_instead_of_more_than_the_limit() {
        let (sender, receiver) = channel();
        let event = "x".repeat(1024 * 1024);
        for _ in 0..10 {
            sender.send(&event).unwrap();
        }
        assert!(sender.is_closed() && sender.has_overflowed());
        sender.end();
        let received = received(receiver).await;
        assert_eq!((received.len(), received.last().unwrap()), (4, &failure()));
    }

    #[tokio::test]
    async fn read_events_do_not_count_towards_the_limit() {
        let (sender, mut receiver) = channel();
        let event = "x".repeat(1024 * 1024);
        for _ in 0..10 {
            sender.send(&event).unwrap();
            assert_eq!(receiver.next().await.unwrap().len(), event.len() + 10);
        }
        assert!(!sender.is_closed());
    }
}
