//! `cargo doctor`: checks an environment or a deployed stack.

use std::process::ExitCode;

fn main() -> ExitCode {
    doctor_command::run(std::env::args().skip(1))
}
