//! What the project promises, each promise with a test that can fail. One binary, so that one PostgreSQL serves all.

mod harness;
mod stack;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run([stack::trials()])
}
