//! Builder of a [`LocalStack`].

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use uuid::Uuid;

use super::LocalStack;
use super::environment::{Environment, KeyStyle, OpenAi, sealing_key};
use crate::agents;
use crate::http::Port;
use crate::lambda;
use crate::lambda::{Binaries, DeployedFunction, FunctionSpec, Lambda, Profile};
use crate::model::{self, FakeModel};
use crate::openai::{ApiKey, FakeOpenAi, Settings};
use crate::postgres::{Database, Grants};
use crate::runtime;
use crate::supabase::{Gateway, Webhook};

/// The OpenAI project of the functions' API key and of every workflow.
pub const PROJECT: &str = "proj_local";

/// The function that pages reach at `apiUrl`.
const CHAT_FUNCTION: &str = "serve-chatkit";

/// The function that the database webhook calls, and the one that it starts.
const WEBHOOK_FUNCTION: &str = "receive-webhook";
const DISPATCHING_FUNCTION: &str = "route-events";

/// For a program that is not a function of the project.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

#[must_use = "call `start` to start the stack"]
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
    deployments: HashMap<String, DeployedFunction>,
    agents: agents::Settings,
}

impl Builder {
    /// Default grants on new tables and functions; they depend on the age of the Supabase project.
    pub fn default_grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Builds the functions as for deployment.
    pub fn release(mut self, release: bool) -> Self {
        self.profile = if release { Profile::Release } else { Profile::Dev };
        self
    }

    /// Configures both providers of client secrets, or neither of them.
    pub fn chatkit(mut self, configured: bool) -> Self {
        self.without_chatkit = !configured;
        self
    }

    /// Gives the functions legacy API keys instead of new ones.
    pub fn legacy_keys(mut self, legacy: bool) -> Self {
        self.keys = if legacy { KeyStyle::Legacy } else { KeyStyle::New };
        self
    }

    /// Gives the functions the legacy JWT secret, so that they accept HS256 tokens.
    pub fn legacy_tokens(mut self, taken: bool) -> Self {
        self.legacy_tokens = taken;
        self
    }

    /// Replaces the template's Lambda timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets an environment variable of every function. An empty value removes the variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs other programs instead of the project's functions. The names are those of the routes.
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Sets the deployment of a program that is not a function of the project.
    pub fn deployment(mut self, name: &str, deployed: DeployedFunction) -> Self {
        self.deployments.insert(name.to_owned(), deployed);
        self
    }

    pub fn agents(mut self, settings: agents::Settings) -> Self {
        self.agents = settings;
        self
    }

    /// Starts the stack. The first call of a process builds the functions and starts PostgreSQL.
    pub async fn start(self) -> Result<LocalStack> {
        runtime::run(self.start_on_runtime()).await
    }

    async fn start_on_runtime(self) -> Result<LocalStack> {
        let (database, binaries) = tokio::try_join!(Database::create(self.grants), self.build_binaries())?;
        let supabase = Gateway::start(&database).await?;
        let api_key =
            ApiKey { key: format!("sk-proj-{}", Uuid::new_v4().simple()), project: Some(PROJECT.to_owned()) };
        let openai_secret = api_key.key.clone();
        let fake_openai =
            FakeOpenAi::start(Settings { api_keys: vec![api_key], workflows: Vec::new() }).await?;

        let openai =
            OpenAi { secret: openai_secret, project: PROJECT.to_owned(), base_url: fake_openai.base_url() };
        let openai = (!self.without_chatkit).then_some(openai);
        let sealing_keys = sealing_key("k1")?;
        let mut environment = Environment::new(&supabase, self.keys, openai, &sealing_keys);
        let chat_port = Port::free().await?;
        if !self.without_chatkit {
            environment.set("CHATKIT_API_URL", &format!("{}/chatkit", chat_port.url()));
            environment.set("CHATKIT_DOMAIN_KEY", "domain_pk_local");
        }
        if self.legacy_tokens {
            environment.set("SUPABASE_JWT_SECRET", supabase.issuer().legacy_secret());
        }
        let model = FakeModel::start(model::Settings::default()).await?;
        environment.set("MODEL_BASE_URL", &model.base_url());
        environment.set("MODEL_API_KEY", &model.api_key());
        let agents = agents::AgentFleet::start(self.agents).await?;
        environment.set("AGENT_LOOPBACK_ALLOWLIST", &agents.loopback_allowlist());
        environment.set("AGENT_CREDENTIALS", &agents.credentials());
        let webhook_secret = Uuid::new_v4().simple().to_string();
        environment.set("DATABASE_WEBHOOK_SECRET", &webhook_secret);
        environment.set("ROUTE_EVENTS_FUNCTION", DISPATCHING_FUNCTION);
        environment.set_overrides(self.environment);

        let workspace = lambda::workspace().await?;
        let deployment = |name: &String| -> Result<DeployedFunction> {
            if let Some(deployed) = self.deployments.get(name) {
                Ok(deployed.clone())
            } else if workspace.functions.contains(name) {
                workspace.template.function(name).cloned()
            } else {
                Ok(DeployedFunction { timeout: DEFAULT_TIMEOUT, ..DeployedFunction::default() })
            }
        };
        let mut rest_routes = Vec::new();
        let mut spec = |(name, binary): (&String, &PathBuf)| -> Result<FunctionSpec> {
            let deployed = deployment(name)?;
            rest_routes.extend(deployed.rest_routes.clone());
            Ok(FunctionSpec {
                name: name.clone(),
                binary: binary.clone(),
                environment: environment.for_function(&deployed),
                timeout: self.timeout.unwrap_or(deployed.timeout),
                streams: deployed.streams,
                url_concurrency: deployed.url_concurrency,
                invokes: deployed.invokes,
            })
        };
        let specs = binaries.iter().map(&mut spec).collect::<Result<Vec<FunctionSpec>>>()?;
        let ports = BTreeMap::from([(CHAT_FUNCTION.to_owned(), chat_port)]);
        let lambda =
            Lambda::start(specs, workspace.routes.clone(), rest_routes.into_iter().collect(), ports).await?;
        let webhook = match lambda.function_url(WEBHOOK_FUNCTION) {
            Ok(url) => Some(Webhook::start(database.pool(), url, webhook_secret).await?),
            // The stack runs other programs.
            Err(_) => None,
        };
        Ok(LocalStack {
            lambda,
            webhook,
            supabase,
            openai: fake_openai,
            model,
            agents,
            database,
            environment,
        })
    }

    async fn build_binaries(&self) -> Result<Binaries> {
        match &self.binaries {
            Some(binaries) => Ok(binaries.clone()),
            None => lambda::functions(self.profile).await,
        }
    }
}
