//! Secrets of AWS: the configuration by `aws-config`, and Secrets Manager.

use std::{sync::OnceLock, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_secretsmanager as secrets_manager;
use aws_smithy_runtime_api::client::result::SdkError;
use futures_util::{future::BoxFuture, join};
use secrets_manager::error::ProvideErrorMetadata;

use super::{FetchError, FetchedSecret, SecretId, SecretSource, parameter_store::ParameterStore};
use crate::platform::{
    http_client::{HttpClient, aws_connector},
    parse::Timestamp,
    secret::Secret,
};

/// Timeout of one attempt. The first request of a process includes a TLS handshake.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Timeout of a call with its retries. Lambda allows ten seconds for the start of a function, in
/// which there are up to two such calls, one after the other.
const CALL_TIMEOUT: Duration = Duration::from_millis(3500);

/// Label of the version that the current one has replaced.
const PREVIOUS_VERSION: &str = "AWSPREVIOUS";

const SECRETS_MANAGER: &str = "AWS Secrets Manager";

/// Source of secrets for which the credentials of the process apply. The client of Secrets Manager is
/// created when the first of its secrets is fetched.
pub struct AwsSecretSource {
    config: SdkConfig,
    secrets_manager: OnceLock<secrets_manager::Client>,
    parameter_store: Result<ParameterStore, FetchError>,
}

impl AwsSecretSource {
    /// Reads the region and the credentials as the SDK does by default. Requests are sent with the
    /// HTTP client of the process.
    pub async fn load(http: &HttpClient) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(aws_connector::client(http))
            .timeout_config(timeouts)
            .load()
            .await;
        let parameter_store = ParameterStore::new(http, &config);
        Self { config, secrets_manager: OnceLock::new(), parameter_store }
    }

    async fn fetch_secret(&self, id: &str, previous: bool) -> Result<FetchedSecret, FetchError> {
        let client = self.secrets_manager.get_or_init(|| secrets_manager::Client::new(&self.config));
        let current = client.get_secret_value().secret_id(id).send();
        let replaced = async {
            let request = client.get_secret_value().secret_id(id).version_stage(PREVIOUS_VERSION);
            // A secret that was never changed has no such version.
            if previous { request.send().await.ok() } else { None }
        };
        let (current, replaced) = join!(current, replaced);
        let current = current.map_err(|error| fetch_error(SECRETS_MANAGER, &error))?;
        let stored_at = current.created_date().and_then(|date| timestamp(*date));
        let text = |text: Option<String>| text.map(Secret::new);
        Ok(FetchedSecret {
            current: text(current.secret_string).ok_or_else(|| not_text(SECRETS_MANAGER))?,
            stored_at,
            previous: replaced.and_then(|replaced| text(replaced.secret_string)),
        })
    }
}

impl SecretSource for AwsSecretSource {
    fn fetch<'a>(
        &'a self,
        id: &'a SecretId,
        previous: bool,
    ) -> BoxFuture<'a, Result<FetchedSecret, FetchError>> {
        Box::pin(async move {
            match id {
                SecretId::SecretsManager(id) => self.fetch_secret(id, previous).await,
                SecretId::ParameterStore(name) => match &self.parameter_store {
                    Ok(store) => store.fetch(name, previous).await,
                    Err(error) => Err(error.clone()),
                },
            }
        })
    }
}

/// Describes an error without the texts in it, which may quote the request.
fn fetch_error<E: ProvideErrorMetadata, R>(store: &'static str, error: &SdkError<E, R>) -> FetchError {
    let cause = match error {
        SdkError::ServiceError(answered) => answered.err().code().unwrap_or("an unknown error").to_owned(),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            "cannot be reached".to_owned()
        }
        SdkError::DispatchFailure(_) => "no credentials, or no answer".to_owned(),
        SdkError::ConstructionFailure(_) => "the name or the region is invalid".to_owned(),
        _ => "an invalid answer".to_owned(),
    };
    FetchError { store, cause }
}

fn not_text(store: &'static str) -> FetchError {
    FetchError { store, cause: "not a text".to_owned() }
}

fn timestamp(date: secrets_manager::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_second(date.secs())
}
