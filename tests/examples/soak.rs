//! `cargo soak`: faults, races and killed processes, and what is left of the promises afterwards.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::program(local_stack::soak::run())
}
