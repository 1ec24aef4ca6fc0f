//! Signals, and the end of standard input, that stop `cargo dev`.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Ctrl-C, SIGTERM, or the end of standard input.
pub struct Interruption {
    interrupted: Signal,
    terminated: Signal,
    stdin_closed: Option<oneshot::Receiver<()>>,
}

impl Interruption {
    pub fn listen(until_stdin_closes: bool) -> Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
            terminated: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            stdin_closed: until_stdin_closes.then(read_stdin),
        })
    }

    /// Returns at the first interruption.
    pub async fn wait(&mut self) {
        let stdin_closed = async {
            match &mut self.stdin_closed {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
            () = stdin_closed => {}
        }
    }
}

/// Reads standard input to its end, on a thread: reading blocks, and the end of the runtime would
/// wait for it.
fn read_stdin() -> oneshot::Receiver<()> {
    let (sender, closed) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(());
    });
    closed
}
