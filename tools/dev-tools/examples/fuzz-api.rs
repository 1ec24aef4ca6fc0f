//! `cargo fuzz-api`: sends generated requests to the whole API.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::fuzz_api::run())
}
