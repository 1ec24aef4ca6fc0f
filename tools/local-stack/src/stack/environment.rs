//! The environment variables of the functions.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::lambda::DeployedFunction;
use crate::supabase::Gateway;

/// The origin that the functions allow.
pub const ORIGIN: &str = "http://localhost:3000";

/// The metrics namespace: the template's, in a stack with this name.
pub const NAMESPACE: &str = "ChatkitSessions/local";

/// Lambda sets these variables from the template's logging configuration.
const LOGGING_VARIABLES: [&str; 2] = ["AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"];

/// The template must not contain it, because no deployed function may have it.
const LOCAL_ONLY_VARIABLE: &str = "AGENT_LOOPBACK_ALLOWLIST";

/// Every environment variable and its value in one stack.
#[derive(Clone)]
pub struct Environment {
    variables: HashMap<String, String>,
    overrides: HashMap<String, String>,
}

/// The style of the Supabase API keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyStyle {
    /// `sb_publishable_…` and `sb_secret_…`
    #[default]
    New,
    /// JWTs of the roles `anon` and `service_role`.
    Legacy,
}

/// The OpenAI side of the configuration.
pub struct OpenAi {
    pub secret: String,
    pub project: String,
    pub base_url: String,
}

impl Environment {
    pub fn new(supabase: &Gateway, keys: KeyStyle, openai: Option<OpenAi>, sealing_keys: &str) -> Self {
        let (publishable, secret) = match keys {
            KeyStyle::New => (supabase.publishable_key(), supabase.secret_key()),
            KeyStyle::Legacy => (supabase.legacy_anon_key(), supabase.legacy_service_key()),
        };
        let mut environment = Self { variables: HashMap::new(), overrides: HashMap::new() };
        environment.set("SUPABASE_URL", &supabase.url());
        environment.set("SUPABASE_PUBLISHABLE_KEY", publishable);
        environment.set("SUPABASE_SECRET_KEY", secret);
        environment.set("CHATKIT_SEALING_KEYS", sealing_keys);
        environment.set("CORS_ALLOWED_ORIGINS", ORIGIN);
        environment.set("METRICS_NAMESPACE", NAMESPACE);
        environment.set("AWS_LAMBDA_LOG_FORMAT", "JSON");
        environment.set("AWS_LAMBDA_LOG_LEVEL", "DEBUG");
        if let Some(OpenAi { secret, project, base_url }) = openai {
            environment.set("OPENAI_CHATKIT_SECRET", &secret);
            environment.set("OPENAI_CHATKIT_PROJECT", &project);
            environment.set("OPENAI_CHATKIT_BASE_URL", &base_url);
        }
        environment
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Sets variables of every function. An empty value removes the variable.
    pub fn set_overrides(&mut self, variables: HashMap<String, String>) {
        self.overrides = variables;
    }

    /// Returns the environment of one function: the variables that the template lists for it, and
    /// the overrides.
    pub fn for_function(&self, deployed: &DeployedFunction) -> HashMap<String, String> {
        let calls_agents = deployed.variables.contains("AGENT_CREDENTIALS");
        let is_included = |name: &String| {
            let is_local_only = calls_agents && name == LOCAL_ONLY_VARIABLE;
            deployed.variables.contains(name) || LOGGING_VARIABLES.contains(&name.as_str()) || is_local_only
        };
        self.with_overrides(self.variables.iter().filter(|(name, _)| is_included(name)))
    }

    /// Returns all variables, for a process that serves all functions.
    pub fn all_variables(&self) -> HashMap<String, String> {
        self.with_overrides(self.variables.iter())
    }

    fn with_overrides<'a>(
        &'a self,
        variables: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> HashMap<String, String> {
        let all = variables.chain(&self.overrides).map(|(name, value)| (name.clone(), value.clone()));
        let mut environment: HashMap<String, String> = all.collect();
        environment.retain(|_, value| !value.is_empty());
        environment
    }
}

/// Returns a new sealing key in the format of `CHATKIT_SEALING_KEYS`.
pub fn sealing_key(id: &str) -> Result<String> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| anyhow!("the system returned no random bytes"))?;
    Ok(format!("{id}:{}", STANDARD.encode(key)))
}
