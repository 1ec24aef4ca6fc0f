//! `cargo demo`: plays the whole journey, and ends with 0 only if every answer was as promised.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::program(local_stack::demo::run())
}
