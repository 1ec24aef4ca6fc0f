//! Dependencies of a function: clients, verifier and settings, each built from the environment on
//! request.

use crate::{
    auth::{DecisionRules, Jwks, LegacySecret, TokenRequirements, Verifier},
    clients::{
        model::{self, ModelClient},
        openai::{self as chatkit, ChatKit},
        supabase::{self, Project, ServiceClient, UserClient},
    },
    domain::sessions::{ChatServer, ClientSecretIssuer, Providers},
    platform::{
        config::{self, Environment, Reported},
        http_client::HttpClient,
        sealing::Sealer,
        secret_store::Rotating,
    },
};

/// ChatKit is not configured if this variable is not set.
const CHATKIT_SECRET: &str = "OPENAI_CHATKIT_SECRET";

/// Self-hosted agents are not configured if this variable is not set.
const CHATKIT_API_URL: &str = "CHATKIT_API_URL";

/// Builds the dependencies that a function requests. Each method returns `None` after it has
/// recorded a configuration error. A function calls all methods that it needs before it unwraps a
/// result, so that all configuration errors are reported at once.
pub struct Dependencies {
    environment: Environment,
    http: HttpClient,
    project: Result<Project, Reported>,
}

impl Dependencies {
    /// Reads from this environment. All clients share the HTTP client.
    pub fn new(mut environment: Environment, http: HttpClient) -> Self {
        let project = environment.required("SUPABASE_URL", config::base_url).map(|url| Project { url });
        Self { environment, http, project }
    }

    /// The client that acts as the caller, under row level security. Reads no secret key.
    pub fn user_client(&mut self) -> Result<UserClient, Reported> {
        let key = self.environment.required("SUPABASE_PUBLISHABLE_KEY", supabase::parse_publishable_key);
        Ok(UserClient::new(self.http.clone(), self.project.as_ref().map_err(|reported| *reported)?, key?))
    }

    /// The client with the secret key.
    pub fn service_client(&mut self) -> Result<ServiceClient, Reported> {
        let key = self.environment.required_secret("SUPABASE_SECRET_KEY", supabase::parse_secret_key);
        Ok(ServiceClient::new(self.http.clone(), self.project.as_ref().map_err(|reported| *reported)?, key?))
    }

    /// Rules for who may decide escalations, as far as token claims decide that.
    pub fn decision_rules(&mut self) -> Result<DecisionRules, Reported> {
        DecisionRules::from_environment(&mut self.environment)
    }

    /// The ChatKit client, or `None` if ChatKit is not configured.
    pub fn chatkit(&mut self) -> Result<Option<ChatKit>, Reported> {
        let key = self.environment.optional_secret(CHATKIT_SECRET, chatkit::parse_api_key);
        let project = self.environment.optional("OPENAI_CHATKIT_PROJECT", chatkit::parse_project);
        let base = self.environment.optional("OPENAI_CHATKIT_BASE_URL", config::base_url);
        let key = key?;
        let project = project?;
        let base = base?;
        let base = match base {
            Some(base) => base,
            None => config::base_url("https://api.openai.com/v1")
                .map_err(|reason| self.environment.add_error("OPENAI_CHATKIT_BASE_URL", reason))?,
        };
        Ok(key.map(|key| ChatKit::new(self.http.clone(), &base, key, project)))
    }

    /// The chat of self-hosted agents, or `None` if it is not configured.
    pub fn chat_server(&mut self) -> Result<Option<ChatServer>, Reported> {
        let url = self.environment.optional(CHATKIT_API_URL, config::base_url);
        let domain_key = match self.environment.is_set(CHATKIT_API_URL) {
            true => self.environment.required("CHATKIT_DOMAIN_KEY", config::visible_ascii).map(Some),
            false => Ok(None),
        };
        let url = url?;
        let domain_key = domain_key?;
        let server = |(url, domain_key): (url::Url, _)| ChatServer { url: url.into(), domain_key };
        Ok(url.zip(domain_key).map(server))
    }

    /// The sealer of client secrets, or `None` if no provider of them is configured.
    pub fn sealer(&mut self) -> Result<Option<Rotating<Sealer>>, Reported> {
        let is_needed = self.environment.is_set(CHATKIT_SECRET) || self.environment.is_set(CHATKIT_API_URL);
        if is_needed {
            self.environment.required_secret("CHATKIT_SEALING_KEYS", Sealer::parse).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The issuer of client secrets, or `None` if no provider of them is configured.
    pub fn client_secret_issuer(&mut self) -> Result<Option<ClientSecretIssuer>, Reported> {
        let openai = self.chatkit();
        let own = self.chat_server();
        let sealer = self.sealer();
        let providers = Providers { openai: openai?, own: own? };
        Ok(sealer?.map(|sealer| ClientSecretIssuer { providers, sealer }))
    }

    /// The client of the model's server.
    pub fn model_client(&mut self) -> Result<ModelClient, Reported> {
        let key = self.environment.required_secret("MODEL_API_KEY", model::parse_api_key);
        let base = self.environment.optional("MODEL_BASE_URL", config::base_url);
        let key = key?;
        let base = match base? {
            Some(base) => Ok(base),
            None => config::base_url("https://api.openai.com/v1"),
        };
        let client = base.and_then(|base| ModelClient::new(self.http.clone(), &base, key));
        client.map_err(|reason| self.environment.add_error("MODEL_BASE_URL", reason))
    }

    /// The client of agents' MCP servers.
    #[cfg(feature = "mcp")]
    pub fn agent_client(&mut self) -> Result<crate::clients::mcp::Client, Reported> {
        use crate::{clients::mcp, platform::egress as outbound};
        let allowed = outbound::LoopbackAllowlist::from_environment(&mut self.environment);
        let store = self.environment.secret_store();
        let parse = move |value: &str| mcp::Credentials::parse_with_store(value, store.as_ref());
        let credentials = self.environment.optional_secret("AGENT_CREDENTIALS", parse);
        let outbound = outbound::EgressClient::new(allowed?)
            .map_err(|error| self.environment.add_error("AGENT_LOOPBACK_ALLOWLIST", error.to_string()))?;
        Ok(mcp::Client::new(outbound, credentials?.unwrap_or_else(|| mcp::Credentials::default().into())))
    }

    /// The client of AWS's APIs, with the credentials of the function's role.
    #[cfg(feature = "aws")]
    pub fn aws_client(&mut self) -> Result<crate::clients::aws::AwsClient, Reported> {
        crate::clients::aws::AwsClient::from_environment(&mut self.environment, self.http.clone())
    }

    /// The secrets of the database webhook, for checks of the configuration.
    #[cfg(feature = "doctor")]
    pub(crate) fn webhook_secrets(&mut self) -> Result<Rotating<super::webhook::WebhookSecrets>, Reported> {
        super::webhook::WebhookSecrets::from_environment(&mut self.environment)
    }

    /// The verifier of callers' tokens. Every HTTP function has one.
    pub(crate) fn verifier(&mut self) -> Result<Verifier, Reported> {
        let secret = self.environment.optional_secret("SUPABASE_JWT_SECRET", LegacySecret::parse);
        let issuer = self.environment.optional("SUPABASE_JWT_ISSUER", config::any_string);
        let audience = self.environment.optional("SUPABASE_JWT_AUDIENCE", config::any_string);
        let project = self.project.as_ref().map_err(|reported| *reported)?;
        let jwks = project.join("/auth/v1/.well-known/jwks.json").parse();
        let jwks =
            jwks.map_err(|_| self.environment.add_error("SUPABASE_URL", "cannot be extended by a path"))?;
        let jwks = Jwks::new(self.http.clone(), jwks);
        let expected = TokenRequirements {
            issuer: issuer?.unwrap_or_else(|| project.join("/auth/v1")),
            audience: audience?.unwrap_or_else(|| "authenticated".to_owned()),
        };
        Ok(Verifier::new(jwks, secret?, expected))
    }

    /// CORS settings: the origins that may call the API, and the headers they may send.
    pub(crate) fn cors(&mut self) -> Result<config::CorsSettings, Reported> {
        let origins = self.environment.optional("CORS_ALLOWED_ORIGINS", config::AllowedOrigins::parse);
        let headers = self.environment.optional("CORS_ALLOWED_HEADERS", config::header_names);
        let origins = origins?.unwrap_or_default();
        let headers = headers?.unwrap_or_default();
        Ok(config::CorsSettings { origins, headers })
    }

    /// The environment, the HTTP client and the project, for checks of the configuration.
    #[cfg(feature = "doctor")]
    pub(crate) fn as_parts(&mut self) -> (&mut Environment, &HttpClient, Option<&Project>) {
        (&mut self.environment, &self.http, self.project.as_ref().ok())
    }

    /// Builds from the environment of this process.
    ///
    /// # Errors
    /// Every error in the environment.
    pub(crate) async fn build_from_process<T>(
        build: impl FnOnce(&mut Self) -> Result<T, Reported>,
    ) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
        let http = HttpClient::new()?;
        let environment = Environment::from_process().with_secrets(&http).await;
        let mut dependencies = Self::new(environment, http);
        let built = build(&mut dependencies);
        Ok(dependencies.build(built)?)
    }

    /// Returns what was built, or all configuration errors.
    pub fn build<T>(self, built: Result<T, Reported>) -> Result<T, config::ConfigErrors> {
        self.environment.finish(built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_provider_are_required_only_with_its_key_or_url() {
        let errors = |variables: &'static [(&str, &str)]| {
            let read =
                |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            let mut dependencies = Dependencies::new(Environment::new(read), HttpClient::new().unwrap());
            let issuer = dependencies.client_secret_issuer();
            dependencies.build(issuer).err().map(|errors| errors.to_string()).unwrap_or_default()
        };
        const URL: (&str, &str) = ("SUPABASE_URL", "https://project.supabase.co");
        assert_eq!(errors(&[URL]), "");
        let invalid = errors(&[
            URL,
            ("OPENAI_CHATKIT_SECRET", "sk-proj-0123456789abcdef"),
            ("OPENAI_CHATKIT_PROJECT", "x"),
        ]);
        assert!(invalid.contains("2 mistake(s)"), "{invalid}");
        assert!(
            invalid.contains("OPENAI_CHATKIT_PROJECT must be")
                && invalid.contains("CHATKIT_SEALING_KEYS is not set")
        );
        let own = errors(&[URL, ("CHATKIT_API_URL", "https://chat.example.com/chatkit")]);
        assert!(own.contains("2 mistake(s)"), "{own}");
        assert!(
            own.contains("CHATKIT_DOMAIN_KEY is not set") && own.contains("CHATKIT_SEALING_KEYS is not set"),
            "{own}"
        );
    }

    #[test]
    fn model_needs_a_key_and_has_a_default_url() {
        let model = |variables: &'static [(&str, &str)]| {
            let read =
                |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            let mut dependencies = Dependencies::new(Environment::new(read), HttpClient::new().unwrap());
            let model = dependencies.model_client();
            dependencies.build(model).map(|_| ()).map_err(|errors| errors.to_string())
        };
        const URL: (&str, &str) = ("SUPABASE_URL", "https://project.supabase.co");
        assert!(model(&[URL]).unwrap_err().contains("MODEL_API_KEY is not set"));
        assert_eq!(model(&[URL, ("MODEL_API_KEY", "sk-model")]), Ok(()));
        assert_eq!(
            model(&[URL, ("MODEL_API_KEY", "sk-model"), ("MODEL_BASE_URL", "http://127.0.0.1:9/v1")]),
            Ok(())
        );
        let invalid =
            model(&[URL, ("MODEL_API_KEY", "sk-\u{7f}canary"), ("MODEL_BASE_URL", "http://models.example")]);
        let invalid = invalid.unwrap_err();
        assert!(invalid.contains("2 mistake(s)") && !invalid.contains("canary"), "{invalid}");
        assert!(invalid.contains("MODEL_API_KEY contains") && invalid.contains("MODEL_BASE_URL must"));
    }
}
