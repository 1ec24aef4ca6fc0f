//! What the functions wrote to their standard output and error, which Lambda sends to CloudWatch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::task::JoinHandle;

/// A line that a function wrote.
#[derive(Clone, Debug)]
pub struct Line {
    /// The function's package.
    pub function: String,
    /// The line without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// The lines of every process of a stack, in the order in which they arrived.
#[derive(Clone, Default)]
pub struct Logs {
    lines: Arc<Mutex<Vec<Line>>>,
    readers: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Logs {
    /// All of them so far. A line may arrive a moment after the answer that it was written before.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Collects what comes out of one end of a process, until it closes.
    pub fn follow(&self, function: &str, output: impl AsyncRead + Send + Unpin + 'static) {
        let (function, lines) = (function.to_owned(), self.lines.clone());
        let reader = tokio::spawn(async move {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                let function = function.clone();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(Line { function, text });
                line.clear();
            }
        });
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// Waits until everything that was written by processes that have ended is among the lines.
    pub async fn complete(&self) {
        let readers = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        for reader in readers {
            let _ = reader.await;
        }
    }
}
