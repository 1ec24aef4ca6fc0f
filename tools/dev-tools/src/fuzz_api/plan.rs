//! The command line: number of requests and seed.

use anyhow::{Context, Result, bail};

/// Enough for the random phases to find rare cases.
const DEFAULT_REQUESTS: usize = 5_000;

/// The plan of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Minimum number of requests. Each phase runs at least once, which takes about 2,400.
    pub requests: usize,
    /// The same seed generates the same requests, except for ids that the functions assign.
    pub seed: u32,
}

impl Plan {
    /// Parses `--requests N` and `--seed N`, which are both optional.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut plan = Self { requests: DEFAULT_REQUESTS, seed: fastrand::u32(..) };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            let wrong = || format!("{name} {value:?}: expected a number");
            match name.as_str() {
                "--requests" => plan.requests = value.parse().with_context(wrong)?,
                "--seed" => plan.seed = value.parse().with_context(wrong)?,
                _ => bail!("usage: cargo fuzz-api [--requests NUMBER] [--seed NUMBER]"),
            }
        }
        Ok(plan)
    }

    /// Returns the command that reproduces the run.
    pub fn command(&self) -> String {
        format!("cargo fuzz-api --requests {} --seed {}", self.requests, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Plan> {
        Plan::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn command_line_round_trips() {
        let plan = Plan { requests: 7_000, seed: 42 };
        assert_eq!(read(plan.command().strip_prefix("cargo fuzz-api").unwrap()).unwrap(), plan);
        assert_eq!(read("--seed 7").unwrap(), Plan { requests: DEFAULT_REQUESTS, seed: 7 });
        assert_eq!(read("").unwrap().requests, DEFAULT_REQUESTS);
    }

    #[test]
    fn invalid_arguments_are_rejected() {
        assert!(read("--requests many").unwrap_err().to_string().contains("--requests \"many\""));
        assert!(read("--seed").unwrap_err().to_string().contains("expected a number"));
        assert!(read("5000").unwrap_err().to_string().starts_with("usage"));
    }
}
