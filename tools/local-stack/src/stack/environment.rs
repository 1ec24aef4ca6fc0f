//! The configuration that functions are given, variable by variable.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::lambda::Deployed;
use crate::supabase::Gateway;

/// The origin that pages are served from, as far as the functions know.
pub const ORIGIN: &str = "http://localhost:3000";

/// Where the functions' metrics go: the template's, in a stack by this name.
pub const NAMESPACE: &str = "ChatkitSessions/local";

/// Lambda passes these on by itself, from what the template says of logging.
const OF_LAMBDA: [&str; 2] = ["AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"];

/// The template must not name it: nothing that is deployed may have it.
const OF_THE_STACK: &str = "AGENT_LOOPBACK_ALLOWLIST";

/// Every variable that functions know, with its value in one stack.
#[derive(Clone)]
pub struct Environment {
    variables: HashMap<String, String>,
    asked_for: HashMap<String, String>,
}

/// Which of Supabase's keys the functions are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyStyle {
    /// `sb_publishable_…` and `sb_secret_…`
    #[default]
    New,
    /// Tokens named `anon` and `service_role`.
    Legacy,
}

/// The OpenAI side of the configuration.
pub struct OpenAi {
    /// The API key.
    pub secret: String,
    /// Its project.
    pub project: String,
    /// Where OpenAI is.
    pub base_url: String,
}

impl Environment {
    /// The configuration of a stack.
    pub fn new(supabase: &Gateway, keys: KeyStyle, openai: Option<OpenAi>, sealing_keys: &str) -> Self {
        let (publishable, secret) = match keys {
            KeyStyle::New => (supabase.publishable_key(), supabase.secret_key()),
            KeyStyle::Legacy => (supabase.legacy_anon_key(), supabase.legacy_service_key()),
        };
        let mut environment = Self { variables: HashMap::new(), asked_for: HashMap::new() };
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

    /// Gives a variable its value in this stack.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// What a test asked for: every function has these, and an empty one is one that is not there.
    pub fn ask_for(&mut self, variables: HashMap<String, String>) {
        self.asked_for = variables;
    }

    /// What one function is given: the variables that the template names for it, and what a test asked for.
    pub fn of(&self, deployed: &Deployed) -> HashMap<String, String> {
        let calls_agents = deployed.variables.contains("AGENT_CREDENTIALS");
        let given = |name: &String| {
            let of_the_stack = calls_agents && name == OF_THE_STACK;
            deployed.variables.contains(name) || OF_LAMBDA.contains(&name.as_str()) || of_the_stack
        };
        self.with_asked_for(self.variables.iter().filter(|(name, _)| given(name)))
    }

    /// Everything in one, for a process that serves all functions.
    pub fn whole(&self) -> HashMap<String, String> {
        self.with_asked_for(self.variables.iter())
    }

    fn with_asked_for<'a>(
        &'a self,
        variables: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> HashMap<String, String> {
        let all = variables.chain(&self.asked_for).map(|(name, value)| (name.clone(), value.clone()));
        let mut environment: HashMap<String, String> = all.collect();
        environment.retain(|_, value| !value.is_empty());
        environment
    }
}

/// A new sealing key, as `CHATKIT_SEALING_KEYS` wants it.
pub fn sealing_key(id: &str) -> Result<String> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| anyhow!("the system gave no random bytes"))?;
    Ok(format!("{id}:{}", STANDARD.encode(key)))
}
