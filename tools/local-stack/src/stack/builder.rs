//! A stack to order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use uuid::Uuid;

use super::LocalStack;
use super::environment::{Environment, KeyStyle, OpenAi, sealing_key};
use crate::agents;
use crate::lambda;
use crate::lambda::{Binaries, Deployed, Lambda, Profile, Spec};
use crate::openai::{ApiKey, FakeOpenAi, Settings};
use crate::postgres::{Database, Grants};
use crate::runtime;
use crate::supabase::{Gateway, Webhook};

/// The project at OpenAI that the functions' key belongs to, and every workflow.
pub const PROJECT: &str = "proj_local";

/// The function that the webhook wakes.
const WOKEN: &str = "route-events";

/// For a program that is no function of the project.
const UNDEPLOYED_TIMEOUT: Duration = Duration::from_secs(15);

/// What a stack is like.
#[must_use = "a stack is made by `start`"]
#[derive(Clone, Default)]
pub struct Builder {
    grants: Grants,
    profile: Profile,
    keys: KeyStyle,
    without_chatkit: bool,
    legacy_tokens: bool,
    timeout: Option<Duration>,
    environment: HashMap<String, String>,
    binaries: Option<Binaries>,
    agents: agents::Settings,
}

impl Builder {
    /// Who gets what on new tables and functions by default: a project's age.
    pub fn default_grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Whether the functions are built as for deployment.
    pub fn release(mut self, release: bool) -> Self {
        self.profile = if release { Profile::Release } else { Profile::Dev };
        self
    }

    /// Whether ChatKit is configured.
    pub fn chatkit(mut self, configured: bool) -> Self {
        self.without_chatkit = !configured;
        self
    }

    /// Whether the functions hold legacy API keys instead of new ones.
    pub fn legacy_keys(mut self, legacy: bool) -> Self {
        self.keys = if legacy { KeyStyle::Legacy } else { KeyStyle::New };
        self
    }

    /// Whether the functions are told the legacy secret, and so take HS256 tokens.
    pub fn legacy_tokens(mut self, taken: bool) -> Self {
        self.legacy_tokens = taken;
        self
    }

    /// Lambda's timeout for the functions, instead of the template's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets a variable of every function, instead of the stack's own value. An empty value leaves it out.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Other programs in place of the project's functions; the names are those of the routes.
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// What the agents' servers are like.
    pub fn agents(mut self, settings: agents::Settings) -> Self {
        self.agents = settings;
        self
    }

    /// Starts the stack. The first one of a process builds the functions and starts PostgreSQL.
    pub async fn start(self) -> Result<LocalStack> {
        runtime::run(self.start_here()).await
    }

    async fn start_here(self) -> Result<LocalStack> {
        let (database, binaries) = tokio::try_join!(Database::create(self.grants), self.built())?;
        let supabase = Gateway::start(database.uri("authenticator")).await?;
        let api_key =
            ApiKey { key: format!("sk-proj-{}", Uuid::new_v4().simple()), project: Some(PROJECT.to_owned()) };
        let openai_secret = api_key.key.clone();
        let chatkit = FakeOpenAi::start(Settings { api_keys: vec![api_key], workflows: Vec::new() }).await?;

        let openai =
            OpenAi { secret: openai_secret, project: PROJECT.to_owned(), base_url: chatkit.base_url() };
        let openai = (!self.without_chatkit).then_some(openai);
        let sealing_keys = sealing_key("k1")?;
        let mut environment = Environment::new(&supabase, self.keys, openai, &sealing_keys);
        if self.legacy_tokens {
            environment.set("SUPABASE_JWT_SECRET", supabase.issuer().legacy_secret());
        }
        let agents = agents::AgentFleet::start(self.agents).await?;
        environment.set("AGENT_LOOPBACK_ALLOWLIST", &agents.allowed_hosts());
        environment.set("AGENT_CREDENTIALS", &agents.credentials());
        let webhook_secret = Uuid::new_v4().simple().to_string();
        environment.set("DATABASE_WEBHOOK_SECRET", &webhook_secret);
        environment.ask_for(self.environment);

        let workspace = lambda::workspace().await?;
        let spec = |(name, binary): (&String, &PathBuf)| -> Result<Spec> {
            let deployed = if workspace.functions.contains(name) {
                workspace.template.function(name)?.clone()
            } else {
                Deployed { timeout: UNDEPLOYED_TIMEOUT, ..Deployed::default() }
            };
            Ok(Spec {
                name: name.clone(),
                binary: binary.clone(),
                environment: environment.of(&deployed),
                timeout: self.timeout.unwrap_or(deployed.timeout),
            })
        };
        let specs = binaries.iter().map(spec).collect::<Result<Vec<Spec>>>()?;
        let lambda = Lambda::start(specs, workspace.routes.clone()).await?;
        let webhook = match lambda.function_url(WOKEN) {
            Ok(url) => Some(Webhook::start(database.pool(), url, webhook_secret).await?),
            // A stack of other programs.
            Err(_) => None,
        };
        Ok(LocalStack { lambda, webhook, supabase, chatkit, agents, database, environment })
    }

    async fn built(&self) -> Result<Binaries> {
        match &self.binaries {
            Some(binaries) => Ok(binaries.clone()),
            None => lambda::functions(self.profile).await,
        }
    }
}
