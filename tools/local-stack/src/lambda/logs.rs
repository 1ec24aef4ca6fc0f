//! Collects the functions' standard output and error, which Lambda sends to CloudWatch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::task::JoinHandle;

/// A line of a function's output.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The function's package.
    pub function: String,
    /// The line without its line break; invalid UTF-8 is replaced.
    pub text: String,
}

/// The lines of all processes of a stack, in order of arrival.
#[derive(Clone, Default)]
pub struct Logs {
    lines: Arc<Mutex<Vec<LogLine>>>,
    readers: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Logs {
    /// Returns all lines. A line may arrive shortly after the response that follows it.
    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Collects one output stream of a process until it closes.
    pub fn follow(&self, function: &str, output: impl AsyncRead + Send + Unpin + 'static) {
        let (function, lines) = (function.to_owned(), self.lines.clone());
        let reader = tokio::spawn(async move {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                let function = function.clone();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(LogLine { function, text });
                line.clear();
            }
        });
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// Waits until all output of exited processes has been collected.
    pub async fn complete(&self) {
        let readers = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        for reader in readers {
            let _ = reader.await;
        }
    }
}
