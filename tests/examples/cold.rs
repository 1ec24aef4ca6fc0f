//! `cargo cold`: times the cold start of every function against a bare hello world.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::program(local_stack::cold::run())
}
