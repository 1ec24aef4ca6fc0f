//! Checks a deployment and reports its faults: as a Lambda function that only an operator can
//! invoke, and as `cargo doctor`.

mod command;
mod handler;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Lambda sets this variable; a shell does not.
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        shared::runtime::serve_admin::<handler::CheckDeployment>()
    } else {
        command::run(std::env::args().skip(1))
    }
}
