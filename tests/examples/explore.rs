//! `cargo explore`: asks the whole API what nobody thought of asking.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_stack::program(local_stack::explore::run())
}
