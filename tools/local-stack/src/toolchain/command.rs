//! Commands of the pinned tools.

use std::process::Command;

use super::{AWS_SAM_CLI, CARGO_LAMBDA, SCHEMATHESIS, ToolError, node::npm};

/// Returns the command for `sam …`, `cargo-lambda …`, `schemathesis …` or `npm …`, and installs the
/// tool first if necessary. `None` for another name.
pub fn command(program: &str, arguments: &[String]) -> Option<Result<Command, ToolError>> {
    let tool = match program {
        "npm" => {
            return Some(npm().map(|mut npm| {
                npm.args(arguments);
                npm
            }));
        }
        "sam" => AWS_SAM_CLI,
        "cargo-lambda" => CARGO_LAMBDA,
        "schemathesis" => SCHEMATHESIS,
        _ => return None,
    };
    Some(tool.install().and_then(|installed| {
        let mut command = installed.program(program);
        if tool == AWS_SAM_CLI && arguments.iter().any(|argument| argument == "build") {
            // SAM builds Rust with `cargo lambda`.
            CARGO_LAMBDA.install()?.on_path(&mut command);
        }
        command.args(arguments);
        Ok(command)
    }))
}
