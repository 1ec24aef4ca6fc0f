//! Configuration from environment variables, read once at startup.
//!
//! Each module reads its own variables through an [`Environment`], which records every error
//! under the variable's name. A function with configuration errors does not start, and reports
//! all of them at once.

mod cors;
mod env_file;
mod parse;

use std::{fmt, path::Path};

pub use cors::{AllowedOrigins, CorsSettings, header_names};
pub use parse::{any_string, base_url, secret_min_32, visible_ascii};

/// Reason of the error for a required variable that is missing.
pub(crate) const NOT_SET: &str = "is not set";

type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// The environment variables of a process, and the errors found in them so far.
pub struct Environment {
    read: Lookup,
    errors: Vec<ConfigError>,
}

/// A variable that is missing or invalid. The value is never kept, since it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub variable: &'static str,
    /// The problem and the expected value.
    pub reason: String,
}

/// Proof that an error was added to the [`Environment`], so that building goes on and reports all
/// of them at once.
#[derive(Clone, Copy, Debug)]
pub struct Reported(());

#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl Environment {
    pub fn from_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Reads the variables of a file instead of the process's, which may belong to another
    /// deployment.
    ///
    /// # Errors
    /// Returns a message if the file cannot be read, or with the number of the first invalid line.
    /// The message does not quote the line, which may hold a secret.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let variables = env_file::read(path)?;
        Ok(Self::new(move |name| variables.get(name).cloned()))
    }

    /// Creates an environment that looks up variables with `read`.
    pub fn new(read: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { read: Box::new(read), errors: Vec::new() }
    }

    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Reported> {
        match self.value(name) {
            Some(value) => self.parse(name, &value, parse),
            None => Err(self.add_error(name, NOT_SET)),
        }
    }

    /// Reads an optional variable: `None` if it is not set.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Reported> {
        self.value(name).map(|value| self.parse(name, &value, parse)).transpose()
    }

    /// Returns whether a variable is set, even if its value is invalid.
    pub fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Records an error that depends on several variables.
    pub fn add_error(&mut self, variable: &'static str, reason: impl Into<String>) -> Reported {
        self.errors.push(ConfigError { variable, reason: reason.into() });
        Reported(())
    }

    /// Takes the errors out, so that they do not keep [`Environment::finish`] from succeeding.
    /// The caller must report them.
    #[cfg(feature = "doctor")]
    pub(crate) fn take_errors(&mut self) -> Vec<ConfigError> {
        std::mem::take(&mut self.errors)
    }

    /// Returns what was built from this environment, or every error that was recorded.
    pub fn finish<T>(self, built: Result<T, Reported>) -> Result<T, ConfigErrors> {
        match built {
            Ok(built) if self.errors.is_empty() => Ok(built),
            _ => Err(ConfigErrors(self.errors)),
        }
    }

    /// Treats an empty variable as not set, because a template cannot leave a variable out.
    fn value(&self, name: &str) -> Option<String> {
        (self.read)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn parse<T>(
        &mut self,
        name: &'static str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Reported> {
        parse(value).map_err(|reason| self.add_error(name, reason))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s)", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "; {} {}", mistake.variable, mistake.reason))
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_reported_together_and_without_values() {
        let mut env = Environment::new(|name| (name == "SUPABASE_URL").then(|| "ftp://s3cret".to_owned()));
        let url = env.required("SUPABASE_URL", base_url);
        let key = env.required("SUPABASE_PUBLISHABLE_KEY", any_string);
        let errors = env.finish(url.and_then(|url| Ok((url, key?)))).unwrap_err().to_string();
        assert!(errors.contains("2 mistake(s)"), "{errors}");
        assert!(
            errors.contains("SUPABASE_URL must") && errors.contains("SUPABASE_PUBLISHABLE_KEY is not set")
        );
        assert!(!errors.contains("s3cret"), "{errors}");
    }

    #[test]
    fn empty_variable_counts_as_not_set() {
        let mut env = Environment::new(|_| Some("  ".to_owned()));
        assert!(matches!(env.optional("OPENAI_CHATKIT_PROJECT", any_string), Ok(None)));
    }
}
