//! Writes the frames of an answer as server-sent events.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::{future, stream};
use serde_json::Value;
use tokio::sync::Notify;

use super::handler::ProgressRecorder;
use super::quirk::{Quirk, Quirks};
use super::render::{Answer, Close, Frame};
use crate::http::wait_for_flush;

/// The size of a chunk of [`Quirk::SplitChunks`]. It splits names, numbers and characters.
const CHUNK_BYTES: usize = 7;

struct StreamWriter {
    frames: VecDeque<Frame>,
    chunks: VecDeque<Bytes>,
    close: Close,
    quirks: Quirks,
    is_marked: bool,
    recorder: ProgressRecorder,
    reset: Arc<Notify>,
}

/// Returns the body that sends an answer.
pub(super) fn body(answer: Answer, quirks: Quirks, recorder: ProgressRecorder, reset: Arc<Notify>) -> Body {
    let writer = StreamWriter {
        frames: answer.frames.into(),
        chunks: VecDeque::new(),
        close: answer.close,
        quirks,
        is_marked: false,
        recorder,
        reset,
    };
    Body::from_stream(stream::unfold(writer, |mut writer| async move {
        let chunk = writer.next().await?;
        Some((chunk, writer))
    }))
}

impl StreamWriter {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                if self.has(Quirk::SplitChunks) {
                    // The server writes what it has before it waits.
                    tokio::task::yield_now().await;
                }
                return Some(Ok(chunk));
            }
            match self.frames.pop_front() {
                Some(Frame::Pause(pause)) => tokio::time::sleep(pause).await,
                Some(Frame::Wait(gate)) => gate.wait().await,
                Some(Frame::Event(event)) => {
                    self.recorder.event_sent();
                    self.write(&self.frame(&event));
                }
                None => match self.close().await {
                    Some(end) => return end,
                    None => continue,
                },
            }
        }
    }

    /// Ends the body, or returns `None` if the marker of the end is next.
    async fn close(&mut self) -> Option<Option<io::Result<Bytes>>> {
        if self.close == Close::Hang {
            future::pending::<()>().await;
        }
        if self.close == Close::End {
            if self.has(Quirk::DoneMarker) && !self.is_marked {
                self.is_marked = true;
                self.write("data: [DONE]\n\n");
                return None;
            }
            self.recorder.finish();
            return Some(None);
        }
        wait_for_flush().await;
        self.recorder.finish();
        if self.close == Close::Reset {
            self.reset.notify_one();
            future::pending::<()>().await;
        }
        Some(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    fn frame(&self, event: &Value) -> String {
        let comment = if self.has(Quirk::KeepAliveComments) { ": PROCESSING\n\n" } else { "" };
        let kind = event["type"].as_str().unwrap_or_default();
        let line = if self.has(Quirk::NoEventLines) { String::new() } else { format!("event: {kind}\n") };
        format!("{comment}{line}data: {event}\n\n")
    }

    fn write(&mut self, text: &str) {
        let text =
            if self.has(Quirk::CarriageReturns) { text.replace('\n', "\r\n") } else { text.to_owned() };
        let bytes = Bytes::from(text);
        let size = if self.has(Quirk::SplitChunks) { CHUNK_BYTES } else { bytes.len() };
        let starts = (0..bytes.len()).step_by(size.max(1));
        self.chunks.extend(starts.map(|start| bytes.slice(start..bytes.len().min(start + size))));
    }
}
