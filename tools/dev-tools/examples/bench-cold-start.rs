//! `cargo bench-cold-start`: compares the cold start of every function with a hello world.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::bench::cold_start::run())
}
