//! `cargo demo`: runs the main use case, and exits with 0 if every check passes.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::demo::run())
}
