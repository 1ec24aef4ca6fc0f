//! `cargo stress`: injects faults, races and kills, and checks the invariants afterwards.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::stress::run())
}
