//! The HTTP client of the tests and the stack, and the server on which the fakes run.

mod breakpoint;
pub mod fake_server;
mod latency;
mod random_fault;
mod reset;
mod server;

use std::sync::OnceLock;
use std::time::Duration;

pub use breakpoint::Breakpoint;
use http_client::{Client, redirect};
pub use latency::{LatencyRecorder, MeasuredConnection, Span};
pub use random_fault::RandomFault;
pub use reset::{ServiceResult, cut, reset, wait_for_flush};
pub use server::{ClosedPort, Port, PortState, Server};

/// Longer than any request takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a client for the loopback interface. It follows no redirects and uses no proxy.
pub fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(separate_client)
}

/// Returns a client like [`client`] with connections of its own, for another runtime.
#[allow(clippy::disallowed_methods)] // the lint is for the functions; this is the tests' client
pub fn separate_client() -> Client {
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none());
    builder.timeout(TIMEOUT).build().unwrap_or_default()
}
