//! Configuration from environment variables, read once at startup. The value of a secret can be a
//! reference to a [`secret_store`](crate::platform::secret_store).
//!
//! Each module reads its own variables through an [`Environment`], which records every error
//! under the variable's name. A function with configuration errors does not start, and reports
//! all of them at once.

mod cors;
mod env_file;
mod parse;

use std::{fmt, path::Path, sync::Arc};

use crate::platform::{
    http_client::HttpClient,
    secret_store::{NOT_BUILT_IN, Rotating, SecretReference, SecretSource, SecretStore},
};

pub use cors::{AllowedOrigins, CorsSettings, header_names};
pub use parse::{any_string, base_url, require_length, secret_min_32, visible_ascii};

/// Reason of the error for a required variable that is missing.
pub(crate) const NOT_SET: &str = "is not set";

/// The variables whose values may be references.
const SECRETS: [&str; 7] = [
    "AGENT_CREDENTIALS",
    "CHATKIT_SEALING_KEYS",
    "DATABASE_WEBHOOK_SECRET",
    "MODEL_API_KEY",
    "OPENAI_CHATKIT_SECRET",
    "SUPABASE_JWT_SECRET",
    "SUPABASE_SECRET_KEY",
];

type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// The environment variables of a process, and the errors found in them so far.
pub struct Environment {
    read: Lookup,
    errors: Vec<ConfigError>,
    /// The secrets that variables refer to. `None` if there are no references.
    secrets: Option<Arc<SecretStore>>,
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
        Self { read: Box::new(read), errors: Vec::new(), secrets: None }
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

    /// Fetches the secrets that the variables refer to, all at once. A failure is an error of the
    /// variable that the function reads.
    #[cfg(feature = "runtime-secrets")]
    pub async fn with_secrets(self, http: &HttpClient) -> Self {
        if self.references().is_empty() {
            return self;
        }
        let source = crate::platform::secret_store::AwsSecretSource::load(http).await;
        self.with_secrets_of(Arc::new(source)).await
    }

    /// Changes nothing: a program without the feature cannot fetch secrets.
    #[cfg(not(feature = "runtime-secrets"))]
    pub async fn with_secrets(self, _: &HttpClient) -> Self {
        self
    }

    /// Like [`Environment::with_secrets`], from another source.
    pub async fn with_secrets_of(mut self, source: Arc<dyn SecretSource>) -> Self {
        let store = SecretStore::new(source);
        let references = self.references();
        store.fetch_all(references.iter().map(|reference| reference.id.clone())).await;
        // A secret can hold the JSON of a variable whose members are references.
        let texts = references.iter().filter_map(|reference| store.text(reference));
        let nested: Vec<_> = texts.flat_map(|text| SecretReference::find_all(text.expose())).collect();
        store.fetch_all(nested.into_iter().map(|reference| reference.id)).await;
        self.secrets = Some(Arc::new(store));
        self
    }

    fn references(&self) -> Vec<SecretReference> {
        let values = SECRETS.iter().filter_map(|name| self.value(name));
        values.flat_map(|value| SecretReference::find_all(&value)).collect()
    }

    /// The store of the secrets that variables refer to.
    pub fn secret_store(&self) -> Option<Arc<SecretStore>> {
        self.secrets.clone()
    }

    /// Reads a variable whose value is a secret or a reference to one.
    pub fn required_secret<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Rotating<T>, Reported> {
        let secrets = self.secrets.clone();
        self.required(name, |value| resolve(value, secrets.as_deref(), parse))
    }

    /// Reads an optional variable whose value is a secret or a reference to one.
    pub fn optional_secret<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Option<Rotating<T>>, Reported> {
        let secrets = self.secrets.clone();
        self.optional(name, |value| resolve(value, secrets.as_deref(), parse))
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

/// Parses the value of a variable, or the secret that it refers to.
fn resolve<T>(
    value: &str,
    secrets: Option<&SecretStore>,
    parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
) -> Result<Rotating<T>, String> {
    match (SecretReference::parse(value), secrets) {
        (None, _) => parse(value).map(Rotating::fixed),
        (Some(reference), Some(secrets)) => Rotating::from_store(secrets, &reference?, parse),
        (Some(_), None) => Err(NOT_BUILT_IN.to_owned()),
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
    use crate::platform::secret_store::fake_source::FakeSource;

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

    const KEY: &str = "sb_secret_c4n4ry_0123456789abcdef_01234567";

    /// Reads a variable from an environment whose secrets were fetched from this source.
    async fn read_secret(value: &'static str, source: Arc<FakeSource>) -> Result<String, String> {
        let env = Environment::new(move |name| (name == "SUPABASE_SECRET_KEY").then(|| value.to_owned()));
        let mut env = env.with_secrets_of(source).await;
        let read = env.required_secret("SUPABASE_SECRET_KEY", |value| {
            require_length(value, 32).map(|()| value.to_owned())
        });
        env.finish(read).map(|read| read.current().as_ref().clone()).map_err(|errors| errors.to_string())
    }

    #[tokio::test]
    async fn reference_is_replaced_by_its_secret() {
        let source = Arc::new(FakeSource::default());
        source.store("keys", KEY);
        source.store("json", &format!("{{\"a\": \"{KEY}\"}}"));
        for value in ["secretsmanager:keys", "ssm:keys", "secretsmanager:json#a", KEY] {
            assert_eq!(read_secret(value, source.clone()).await.as_deref(), Ok(KEY), "{value}");
        }
        assert_eq!(source.fetches(), 3, "the plain value was fetched");
    }

    #[tokio::test]
    async fn reference_without_a_usable_secret_is_an_error_without_values() {
        let source = Arc::new(FakeSource::default());
        source.store("short", "c4n4ry");
        source.store("keys", KEY);
        for (value, reason) in [
            ("secretsmanager:other", "SUPABASE_SECRET_KEY cannot be fetched from a test (no answer)"),
            ("secretsmanager:short", "at least 32"),
            ("secretsmanager:keys#a", "not JSON"),
            ("secretsmanager:", "must be secretsmanager:"),
        ] {
            let error = read_secret(value, source.clone()).await.unwrap_err();
            assert!(error.contains(reason) && !error.contains("c4n4ry"), "{value}: {error}");
        }
    }

    #[test]
    fn reference_in_a_program_without_the_feature_is_an_error() {
        let mut env = Environment::new(|_| Some("secretsmanager:keys".to_owned()));
        let read = env.required_secret("SUPABASE_SECRET_KEY", any_string);
        let error = env.finish(read).unwrap_err().to_string();
        assert!(error.contains("SUPABASE_SECRET_KEY is a reference") && error.contains("runtime-secrets"));
    }

    #[test]
    fn empty_variable_counts_as_not_set() {
        let mut env = Environment::new(|_| Some("  ".to_owned()));
        assert!(matches!(env.optional("OPENAI_CHATKIT_PROJECT", any_string), Ok(None)));
    }
}
