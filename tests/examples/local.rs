//! `cargo local`: brings the whole stack up and stays.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::program(local_stack::local::run())
}
