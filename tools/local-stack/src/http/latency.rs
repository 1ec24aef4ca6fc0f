//! How long a server had each request, seen at its sockets: parsing, work and writing are all in it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// When a request came, and how long it took until the last of its answer was written.
pub type Span = (SystemTime, Duration);

/// The spans of a server's requests, in the order in which their answers began.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Vec<Span>>>);

impl Meter {
    /// Those after the first so many.
    pub fn spans_after(&self, count: usize) -> Vec<Span> {
        self.spans().get(count..).unwrap_or_default().to_vec()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.spans().len()
    }

    /// A connection that is measured.
    pub fn measured<S>(&self, stream: S) -> Measured<S> {
        Measured { stream, meter: self.clone(), since: SystemTime::now(), span: None, waiting: true }
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, one request after the other.
#[derive(Debug)]
pub struct Measured<S> {
    stream: S,
    meter: Meter,
    since: SystemTime,
    /// The place of the request under way, once its answer has begun.
    span: Option<usize>,
    /// Whether the next bytes are the beginning of a request.
    waiting: bool,
}

impl<S> Measured<S> {
    /// The connection itself.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn has_read(&mut self) {
        if self.waiting {
            (self.since, self.span, self.waiting) = (SystemTime::now(), None, false);
        }
    }

    fn has_written(&mut self) {
        let took = self.since.elapsed().unwrap_or_default();
        let mut spans = self.meter.spans();
        let at = *self.span.get_or_insert(spans.len());
        match spans.get_mut(at) {
            Some(span) => span.1 = took,
            None => spans.push((self.since, took)),
        }
        drop(spans);
        self.waiting = true;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() && buffer.filled().len() > before {
            this.has_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            this.has_written();
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
    async fn each_request_counts_until_its_answer_is_written_and_no_longer() {
        let meter = Meter::default();
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = meter.measured(server);
        for _ in 0..2 {
            client.write_all(b"request").await.unwrap();
            let mut request = [0; 7];
            server.read_exact(&mut request).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.write_all(b"half").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.write_all(b"rest").await.unwrap();
            // Time between requests is nobody's.
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let spans = meter.spans_after(0);
        assert_eq!((spans.len(), meter.count(), meter.spans_after(1).len()), (2, 2, 1));
        for (_, took) in spans {
            assert!((Duration::from_millis(40)..Duration::from_millis(95)).contains(&took), "{took:?}");
        }
    }
}
