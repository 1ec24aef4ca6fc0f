//! `cargo bench-stream`: measures the streamed chat against its limits and the reference server.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::run_program(dev_tools::bench::stream::run())
}
