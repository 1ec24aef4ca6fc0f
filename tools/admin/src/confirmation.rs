//! Questions before a command that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use crate::failure::Failure;

#[derive(Args)]
pub struct Confirmation {
    /// Do not ask for a confirmation, for scripts
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Asks on the terminal whether to continue. Only `y` and `yes` do.
    ///
    /// # Errors
    /// Returns a failure if the answer is another one, or without a terminal.
    pub fn ask(&self, consequence: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::not_attempted(format!(
                "{consequence} Nothing was done, because there is no terminal to confirm this. Run the command \
                 in a terminal, or pass --yes."
            )));
        }
        eprint!("{consequence} Continue? [y/N] ");
        let mut answer = String::new();
        let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
        match read {
            Ok(_) if is_consent(&answer) => Ok(()),
            _ => Err(Failure::not_attempted("Nothing was done.")),
        }
    }
}

fn is_consent(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_consent() {
        assert!(["y\n", "Yes\n", " YES "].into_iter().all(is_consent));
        assert!(!["", "\n", "n\n", "no\n", "yes please\n"].into_iter().any(is_consent));
    }
}
