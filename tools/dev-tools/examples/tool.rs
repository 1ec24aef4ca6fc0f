//! `cargo tool NAME …` runs a pinned tool from PyPI: `cargo tool sam validate --lint`, `cargo tool cargo-lambda lambda watch`.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use local_stack::toolchain;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    // Takes this process's place, so that signals and the exit code are the tool's own.
    let error = match toolchain::command(&name, &arguments) {
        Some(Ok(mut command)) => format!("{name} cannot be run: {}", command.exec()),
        Some(Err(error)) => error.to_string(),
        None => "usage: cargo tool sam|cargo-lambda|schemathesis …".to_owned(),
    };
    eprintln!("{error}");
    ExitCode::FAILURE
}
