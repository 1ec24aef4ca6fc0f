//! How much to ask, and what.

use anyhow::{Context, Result, bail};

/// Enough that every run finds time for what only chance leads to.
const REQUESTS: usize = 5_000;

/// What to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// At least so many requests. Every phase is gone through once in any case, which takes some 2,400.
    pub requests: usize,
    /// The same seed asks the same, but for the ids that the functions give out.
    pub seed: u32,
}

impl Plan {
    /// What a command line asks for: `--requests N` and `--seed N`, both of which may be left out.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut plan = Self { requests: REQUESTS, seed: fastrand::u32(..) };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            let wrong = || format!("{name} {value:?}: it takes a number");
            match name.as_str() {
                "--requests" => plan.requests = value.parse().with_context(wrong)?,
                "--seed" => plan.seed = value.parse().with_context(wrong)?,
                _ => bail!("usage: cargo explore [--requests NUMBER] [--seed NUMBER]"),
            }
        }
        Ok(plan)
    }

    /// What a person types to have the same again.
    pub fn command(&self) -> String {
        format!("cargo explore --requests {} --seed {}", self.requests, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Plan> {
        Plan::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_plan_is_what_its_command_says() {
        let plan = Plan { requests: 7_000, seed: 42 };
        assert_eq!(read(plan.command().strip_prefix("cargo explore").unwrap()).unwrap(), plan);
        assert_eq!(read("--seed 7").unwrap(), Plan { requests: REQUESTS, seed: 7 });
        assert_eq!(read("").unwrap().requests, REQUESTS);
    }

    #[test]
    fn what_is_no_plan_is_said_to_be_none() {
        assert!(read("--requests many").unwrap_err().to_string().contains("--requests \"many\""));
        assert!(read("--seed").unwrap_err().to_string().contains("takes a number"));
        assert!(read("5000").unwrap_err().to_string().starts_with("usage"));
    }
}
