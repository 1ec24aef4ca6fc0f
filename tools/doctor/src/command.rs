//! The arguments of the command, and its exit codes.

use std::{error::Error, process::ExitCode, time::Duration};

use shared::{
    doctor::{Doctor, DoctorReport},
    platform::{
        config::Environment,
        http_client::{Deadline, HttpClient},
    },
    runtime::Dependencies,
};

use crate::{aws::Aws, checks, deployment::Deployment, table};

const USAGE: &str = "usage: cargo doctor [--env-file FILE | --stack NAME [--region REGION]] [--json]

Checks the configuration in the environment, or in FILE (lines of NAME='value'), and everything that it leads to.
With --stack, checks what is deployed: the resources of a CloudFormation stack, and the report of its own doctor.
Exits with 0 if there is no fault, with 1 if there is one, and with 2 if the checks could not run.";

/// The same time limit as that of the Lambda function.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The deployed doctor takes up to a minute, and the other requests are sent meanwhile.
const STACK_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Arguments {
    env_file: Option<String>,
    stack: Option<String>,
    region: Option<String>,
    json: bool,
}

/// Runs the checks that the arguments name, and prints the report.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let report = parse(arguments).and_then(|arguments| {
        let report = check(&arguments)?;
        Ok(if arguments.json {
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

fn parse(mut given: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments::default();
    while let Some(argument) = given.next() {
        let option = match argument.as_str() {
            "--env-file" => &mut arguments.env_file,
            "--stack" => &mut arguments.stack,
            "--region" => &mut arguments.region,
            "--json" => {
                arguments.json = true;
                continue;
            }
            _ => return Err(USAGE.into()),
        };
        *option = Some(given.next().ok_or(USAGE)?);
    }
    let has_two_subjects = arguments.env_file.is_some() && arguments.stack.is_some();
    let has_region_alone = arguments.region.is_some() && arguments.stack.is_none();
    if has_two_subjects || has_region_alone { Err(USAGE.into()) } else { Ok(arguments) }
}

/// Checks a stack, a file or the environment. With a file, the variables of the shell are ignored:
/// they may belong to another deployment.
fn check(arguments: &Arguments) -> Result<DoctorReport, Box<dyn Error>> {
    let http = HttpClient::new().map_err(|error| -> Box<dyn Error> { error })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let environment = match (&arguments.stack, &arguments.env_file) {
        (Some(stack), _) => {
            return Ok(runtime.block_on(check_stack(http, stack, arguments.region.clone()))?);
        }
        (None, Some(path)) => Environment::from_file(path.as_ref())?,
        (None, None) => Environment::from_process(),
    };
    let doctor = Doctor::new(&mut Dependencies::new(environment, http));
    Ok(runtime.block_on(async { doctor.run(Deadline::after(TIMEOUT)).await }))
}

async fn check_stack(http: HttpClient, stack: &str, region: Option<String>) -> Result<DoctorReport, String> {
    let aws = Aws::connect(http, region, Deadline::after(STACK_TIMEOUT)).await?;
    Ok(match Deployment::read(&aws, stack).await {
        Ok(deployment) => checks::check(&deployment),
        Err(unanswered) => checks::without_stack(&unanswered),
    })
}
