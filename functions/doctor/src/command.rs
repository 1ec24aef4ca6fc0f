//! `cargo doctor`: runs the checks on the environment of the shell or of a file and prints a table.

use std::{error::Error, process::ExitCode, time::Duration};

use shared::{
    doctor::{Doctor, DoctorReport},
    platform::{
        config::Environment,
        http_client::{Deadline, HttpClient},
    },
    runtime::Dependencies,
};

use super::table;

const USAGE: &str = "usage: cargo doctor [--env-file FILE] [--json]

Checks the configuration in the environment, or in FILE (lines of NAME='value'), and everything that it leads to.
Exits with 0 where all is well, with 1 where something is not, and with 2 where it could not be looked.";

/// The same time limit as that of the Lambda function.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Wanted {
    env_file: Option<String>,
    json: bool,
}

/// Runs the checks and prints the report.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let report = wanted(arguments).and_then(|wanted| {
        let report = examined(&wanted)?;
        Ok(if wanted.json {
            (serde_json::to_string_pretty(&report)?, report)
        } else {
            (table::text(&report), report)
        })
    });
    match report {
        Ok((text, report)) => {
            println!("{text}");
            if report.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, Box<dyn Error>> {
    let mut wanted = Wanted::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--env-file" => wanted.env_file = Some(arguments.next().ok_or(USAGE)?),
            "--json" => wanted.json = true,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(wanted)
}

/// With a file, the variables of the shell are ignored: they may belong to another deployment.
fn examined(wanted: &Wanted) -> Result<DoctorReport, Box<dyn Error>> {
    let environment = match &wanted.env_file {
        Some(path) => Environment::from_file(path.as_ref())?,
        None => Environment::from_process(),
    };
    let http = HttpClient::new().map_err(|error| -> Box<dyn Error> { error })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let environment = runtime.block_on(environment.with_secrets(&http));
    let doctor = Doctor::new(&mut Dependencies::new(environment, http));
    Ok(runtime.block_on(async { doctor.run(Deadline::after(PATIENCE)).await }))
}
