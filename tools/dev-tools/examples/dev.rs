//! `cargo dev`: starts the local stack and keeps it running.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::dev::run())
}
