//! `cargo tool NAME …` runs a pinned tool from PyPI, for example `cargo tool sam validate --lint`
//! or `cargo tool cargo-lambda lambda watch`.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use local_stack::toolchain;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    // The tool replaces this process, so that it receives signals and sets the exit code.
    let error = match toolchain::command(&name, &arguments) {
        Some(Ok(mut command)) => format!("running {name} failed: {}", command.exec()),
        Some(Err(error)) => error.to_string(),
        None => "usage: cargo tool sam|cargo-lambda|schemathesis|npm …".to_owned(),
    };
    eprintln!("{error}");
    ExitCode::FAILURE
}
