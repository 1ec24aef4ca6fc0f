//! `cargo admin`: the command line for operators.

use std::process::ExitCode;

fn main() -> ExitCode {
    admin::run()
}
