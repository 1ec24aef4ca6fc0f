//! `cargo bench-changes`: compares an idle poll of the change feed with reading one session.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::bench::changes::run())
}
