//! The command line of `cargo dev`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The port of the page, if it is free.
const PORT: u16 = 3000;

const USAGE: &str = "usage: cargo dev [-- [--port PORT] [--env-file PATH] [--until-stdin-closes]]";

/// The options of `cargo dev`.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The port of the page, if it is free. 0 is any free port.
    pub port: u16,
    /// The file with the environment. Default: `.env.local` in the project's root.
    pub env_file: Option<PathBuf>,
    /// Stops when standard input closes, so that a program that starts it cannot leave it behind.
    pub until_stdin_closes: bool,
}

impl Options {
    /// Reads the arguments after the name of the program.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self { port: PORT, env_file: None, until_stdin_closes: false };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value. {USAGE}"));
            match argument.as_str() {
                "--port" => options.port = value()?.parse().with_context(|| format!("--port. {USAGE}"))?,
                "--env-file" => options.env_file = Some(value()?.into()),
                "--until-stdin-closes" => options.until_stdin_closes = true,
                _ => bail!("the argument {argument} is unknown. {USAGE}"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options> {
        Options::read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn options_are_read_and_have_defaults() {
        let defaults = Options { port: PORT, env_file: None, until_stdin_closes: false };
        assert_eq!(read(&[]).unwrap(), defaults);
        let options = read(&["--port", "0", "--until-stdin-closes", "--env-file", "a"]).unwrap();
        let expected = Options { port: 0, env_file: Some("a".into()), until_stdin_closes: true };
        assert_eq!(options, expected);
    }

    #[test]
    fn unknown_and_incomplete_options_are_rejected_with_the_usage() {
        for arguments in [&["--prot", "1"][..], &["--port"], &["--port", "x"], &["3000"]] {
            let error = format!("{:#}", read(arguments).unwrap_err());
            assert!(error.contains("usage: cargo dev"), "{arguments:?}: {error}");
        }
    }
}
