//! Configuration from the environment, read once at start.
//!
//! Every room reads its own variables through an [`Environment`], which keeps each mistake under the
//! variable's name. A function with mistakes does not start, and reports all of them at once.

mod cors;
mod parse;

use std::fmt;

pub use cors::{AllowedOrigins, CorsSettings, header_names};
pub use parse::{any_string, base_url, secret_min_32};

/// What is wrong with a variable that is needed and not there.
pub(crate) const NOT_SET: &str = "is not set";

type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// The variables of a process, and the mistakes found in them so far.
pub struct Environment {
    read: Lookup,
    errors: Vec<ConfigError>,
}

/// One variable that is missing or wrong. The value itself is never kept: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong with it and what it should be.
    pub reason: String,
}

/// Proof that an error was added to the [`Environment`], so that building can go on and report all of them at once.
#[derive(Clone, Copy, Debug)]
pub struct Reported(());

/// All the mistakes of an environment.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl Environment {
    /// The environment of this process.
    pub fn from_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// An environment that is looked up by `read`.
    pub fn new(read: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { read: Box::new(read), errors: Vec::new() }
    }

    /// A variable that must be set.
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

    /// A variable that may be left out.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Reported> {
        self.value(name).map(|value| self.parse(name, &value, parse)).transpose()
    }

    /// Whether a variable is set, rightly or not.
    pub fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Notes a mistake that only shows when variables are seen together.
    pub fn add_error(&mut self, variable: &'static str, reason: impl Into<String>) -> Reported {
        self.errors.push(ConfigError { variable, reason: reason.into() });
        Reported(())
    }

    /// The mistakes so far, which no longer keep anything from being built: whoever takes them tells of them.
    #[cfg(feature = "doctor")]
    pub(crate) fn take_errors(&mut self) -> Vec<ConfigError> {
        std::mem::take(&mut self.errors)
    }

    /// What was built from this environment, if nothing was wrong with it.
    ///
    /// # Errors
    /// Every mistake that was noted.
    pub fn finish<T>(self, built: Result<T, Reported>) -> Result<T, ConfigErrors> {
        match built {
            Ok(built) if self.errors.is_empty() => Ok(built),
            _ => Err(ConfigErrors(self.errors)),
        }
    }

    /// An empty variable counts as one that is not set: a template cannot leave one out.
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
    fn every_mistake_is_reported_at_once_and_none_shows_a_value() {
        let mut env = Environment::new(|name| (name == "SUPABASE_URL").then(|| "ftp://s3cret".to_owned()));
        let url = env.required("SUPABASE_URL", base_url);
        let key = env.required("SUPABASE_PUBLISHABLE_KEY", any_string);
        let mistakes = env.finish(url.and_then(|url| Ok((url, key?)))).unwrap_err().to_string();
        assert!(mistakes.contains("2 mistake(s)"), "{mistakes}");
        assert!(
            mistakes.contains("SUPABASE_URL must")
                && mistakes.contains("SUPABASE_PUBLISHABLE_KEY is not set")
        );
        assert!(!mistakes.contains("s3cret"), "{mistakes}");
    }

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        let mut env = Environment::new(|_| Some("  ".to_owned()));
        assert_eq!(env.optional("OPENAI_CHATKIT_PROJECT", any_string), Some(None));
    }
}
