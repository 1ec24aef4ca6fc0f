//! What the project promises, each promise with a test that can fail. One binary, so that one PostgreSQL serves all.

mod caller;
mod harness;
mod journey;
mod outages;
mod sessions;
mod stack;
mod tenancy;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run([
        journey::trials(),
        sessions::trials(),
        outages::trials(),
        stack::trials(),
        tenancy::trials(),
    ])
}
