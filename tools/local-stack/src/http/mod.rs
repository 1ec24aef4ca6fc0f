//! The HTTP client of the tests and the stack, and the server that what is played here runs on.

mod breakpoint;
mod latency;
mod random_fault;
mod reset;
mod server;

use std::sync::OnceLock;
use std::time::Duration;

pub use breakpoint::Breakpoint;
use http_client::{Client, redirect};
pub use latency::{Measured, Meter, Span};
pub use random_fault::RandomFault;
pub use reset::{Answered, cut, reset};
pub use server::{Port, Reach, Server};

/// Longer than anything here takes, shorter than a person's patience with a test that hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client for the loopback: no redirects are followed and no proxy is asked.
#[allow(clippy::disallowed_methods)] // the functions have one client; here is the tests'
pub fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let builder = Client::builder().no_proxy().redirect(redirect::Policy::none());
        builder.timeout(TIMEOUT).build().unwrap_or_default()
    })
}
