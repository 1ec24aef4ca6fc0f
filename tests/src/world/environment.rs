//! The configuration that functions are given, variable by variable.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::lambda::Routes;
use crate::supabase::Gateway;

/// The origin that pages are served from, as far as the functions know.
pub const ORIGIN: &str = "http://localhost:3000";

/// What all functions of a world have in common.
#[derive(Clone)]
pub struct Environment {
    /// Every function has these.
    pub everywhere: HashMap<String, String>,
    /// Only a function that writes has these.
    pub writing: HashMap<String, String>,
    /// What a test asked for: instead of the above where the names are the same; left out where the value is empty.
    pub asked_for: HashMap<String, String>,
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
    /// The configuration of a world.
    pub fn new(supabase: &Gateway, keys: KeyStyle, openai: Option<OpenAi>, sealing_keys: &str) -> Self {
        let (publishable, secret) = match keys {
            KeyStyle::New => (supabase.publishable_key(), supabase.secret_key()),
            KeyStyle::Legacy => (supabase.legacy_anon_key(), supabase.legacy_service_key()),
        };
        let mut everywhere = HashMap::from([
            ("SUPABASE_URL".to_owned(), supabase.url()),
            ("SUPABASE_PUBLISHABLE_KEY".to_owned(), publishable.to_owned()),
            ("CORS_ALLOWED_ORIGINS".to_owned(), ORIGIN.to_owned()),
            ("AWS_LAMBDA_LOG_FORMAT".to_owned(), "JSON".to_owned()),
            ("AWS_LAMBDA_LOG_LEVEL".to_owned(), "DEBUG".to_owned()),
        ]);
        if let Some(OpenAi { secret, project, base_url }) = openai {
            everywhere.insert("OPENAI_CHATKIT_SECRET".to_owned(), secret);
            everywhere.insert("OPENAI_CHATKIT_PROJECT".to_owned(), project);
            everywhere.insert("OPENAI_CHATKIT_BASE_URL".to_owned(), base_url);
        }
        let writing = HashMap::from([
            ("SUPABASE_SECRET_KEY".to_owned(), secret.to_owned()),
            ("CHATKIT_SEALING_KEYS".to_owned(), sealing_keys.to_owned()),
        ]);
        Self { everywhere, writing, asked_for: HashMap::new() }
    }

    /// What one function is given. One that only reads holds no secret key, and its routes say which that is.
    pub fn of(&self, function: &str, routes: &Routes) -> HashMap<String, String> {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
        let writes = routes
            .iter()
            .filter(|route| route.function == function)
            .any(|route| route.method.as_ref().is_none_or(|method| !reads.contains(method)));
        let mut environment = self.everywhere.clone();
        if writes {
            environment.extend(self.writing.clone());
        }
        environment.extend(self.asked_for.clone());
        environment.retain(|_, value| !value.is_empty());
        environment
    }

    /// Everything in one, for a process that serves all functions.
    pub fn whole(&self) -> HashMap<String, String> {
        let mut environment = self.everywhere.clone();
        environment.extend(self.writing.clone());
        environment.extend(self.asked_for.clone());
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
