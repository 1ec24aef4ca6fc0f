//! `cargo doctor`. It runs the checks of the function `doctor` on the environment of the shell or
//! of a file. With `--stack` it compares what AWS says about a deployed stack with the stack's
//! template.
//!
//! The function does not compare: its role may only write its log. Reading the configuration of all
//! functions would give it every secret of the deployment.

mod aws;
mod checks;
mod command;
mod deployment;
mod secrets;
mod table;
mod template;
mod variables;

pub use command::run;
pub use variables::function_variables;
