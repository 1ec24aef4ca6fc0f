//! What the project promises, each promise with a test that can fail. One binary, so that one PostgreSQL serves all.

mod auth;
mod bad_inputs;
mod caller;
mod configuration;
mod cors;
mod edge;
mod harness;
mod journey;
mod outages;
mod secrets;
mod sessions;
mod stack;
mod untouched;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run([
        journey::trials(),
        sessions::trials(),
        outages::trials(),
        bad_inputs::trials(),
        auth::trials(),
        cors::trials(),
        edge::trials(),
        secrets::trials(),
        configuration::trials(),
        stack::trials(),
    ])
}
