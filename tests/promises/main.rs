//! What the project promises, each promise with a test that can fail. One binary, so that one PostgreSQL serves all.

// This is test code; the lints know only code under the standard harness as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod caller;
mod described;
mod endings;
mod harness;
mod journey;
mod openai_sdk;
mod outages;
mod sessions;
mod stack;
mod standin;
mod tools;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run([
        journey::trials(),
        sessions::trials(),
        outages::trials(),
        endings::trials(),
        described::trials(),
        stack::trials(),
        standin::trials(),
        openai_sdk::trials(),
        tools::trials(),
        watch::trials(),
    ])
}
