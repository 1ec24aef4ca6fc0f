//! The command line for operators. Each command calls the same code of `shared` as the functions,
//! with the project's secret key.

mod arguments;
mod commands;
mod confirmation;
mod deployment;
mod failure;
mod output;
mod progress;
mod registration_file;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::Failure;
use output::Output;

/// Runs the command that the process's arguments name. Exits with 0 if it is done, with 1 if it
/// failed or was refused, and with 2 if nothing was attempted.
pub fn run() -> ExitCode {
    // Exits with 2 if the arguments are invalid, and with 0 after `--help`.
    let arguments = Arguments::parse();
    progress::print_to_stderr();
    let json = arguments.options.json;
    match execute(arguments) {
        Ok(output) => {
            output.print(json);
            output.exit_code()
        }
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

fn execute(Arguments { options, command }: Arguments) -> Result<Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::not_attempted(error.to_string()))?;
    runtime.block_on(async {
        let deployment = options.deployment.resolve().await?;
        match command {
            Command::Agents(command) => command.run(&deployment).await,
            Command::Servers(command) => command.run(&deployment).await,
            Command::Members(command) => command.run(&deployment).await,
            Command::Limits(command) => command.run(&deployment).await,
            Command::Retention(command) => command.run(&deployment).await,
            Command::Deliveries(command) => command.run(&deployment).await,
            Command::Transcripts(command) => command.run(&deployment).await,
            Command::Users(command) => command.run(&deployment).await,
        }
    })
}
