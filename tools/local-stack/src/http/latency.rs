//! Measures how long a server takes for each request, at its sockets: parsing, work and writing are
//! included.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Arrival of a request, and the time until the end of its response was written.
pub type Span = (SystemTime, Duration);

/// The spans of a server's requests, in the order in which their responses began.
#[derive(Clone, Debug, Default)]
pub struct LatencyRecorder(Arc<Mutex<Vec<Span>>>);

impl LatencyRecorder {
    /// Returns the spans after the first `count`.
    pub fn spans_after(&self, count: usize) -> Vec<Span> {
        self.spans().get(count..).unwrap_or_default().to_vec()
    }

    pub fn count(&self) -> usize {
        self.spans().len()
    }

    /// Wraps a connection in order to measure it.
    pub fn measure<S>(&self, stream: S) -> MeasuredConnection<S> {
        MeasuredConnection { stream, latency: self.clone(), since: SystemTime::now(), span: None, idle: true }
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that carries one request after the other.
#[derive(Debug)]
pub struct MeasuredConnection<S> {
    stream: S,
    latency: LatencyRecorder,
    since: SystemTime,
    /// Index of the current request, once its response has begun.
    span: Option<usize>,
    /// Whether the next bytes start a request.
    idle: bool,
}

impl<S> MeasuredConnection<S> {
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn on_read(&mut self) {
        if self.idle {
            (self.since, self.span, self.idle) = (SystemTime::now(), None, false);
        }
    }

    /// Counts the request, or extends its span.
    fn record_span(&mut self) {
        let took = self.since.elapsed().unwrap_or_default();
        let mut spans = self.latency.spans();
        let at = *self.span.get_or_insert(spans.len());
        match spans.get_mut(at) {
            Some(span) => span.1 = took,
            None => spans.push((self.since, took)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeasuredConnection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() && buffer.filled().len() > before {
            this.on_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeasuredConnection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Before the bytes leave: a client that has read the response finds its request counted.
        if !bytes.is_empty() {
            this.record_span();
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            this.record_span();
            this.idle = true;
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn span_ends_when_the_response_is_written() {
        let latency = LatencyRecorder::default();
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = latency.measure(server);
        for _ in 0..2 {
            client.write_all(b"request").await.unwrap();
            let mut request = [0; 7];
            server.read_exact(&mut request).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.write_all(b"half").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.write_all(b"rest").await.unwrap();
            // Time between requests is not counted.
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let spans = latency.spans_after(0);
        assert_eq!((spans.len(), latency.count(), latency.spans_after(1).len()), (2, 2, 1));
        for (_, took) in spans {
            assert!((Duration::from_millis(40)..Duration::from_millis(95)).contains(&took), "{took:?}");
        }
    }
}
