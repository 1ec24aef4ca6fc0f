//! Requests to AWS. Each reads, except that the deployed doctor is invoked.

mod answer;
mod api_gateway;
mod cloudformation;
mod cloudwatch;
mod lambda;
mod logs;
mod scheduler;
mod secrets_manager;
mod sqs;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::{
    clients::aws::{AwsClient, AwsResponse},
    platform::http_client::{Deadline, HttpClient},
};

pub use answer::{Answer, Reason, Unanswered};
pub use api_gateway::Routes;
pub use cloudformation::StackSummary;
pub use cloudwatch::{Alarms, Metric, MetricValues, PERIOD};
#[cfg(test)]
pub use lambda::{AccountLimit, Concurrency};
pub use lambda::{AccountSettings, Function, FunctionUrl, Permission};
pub use logs::LogGroups;
pub use scheduler::Schedule;

/// The characters that are not encoded in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The APIs of AWS in one region.
pub struct Aws {
    client: AwsClient,
    deadline: Deadline,
}

/// An operation of a service that takes JSON, and the IAM action that permits it.
struct JsonOperation {
    action: &'static str,
    service: &'static str,
    /// The value of `X-Amz-Target`.
    target: &'static str,
    content_type: &'static str,
}

impl Aws {
    /// Finds the region and the credentials as AWS's own tools do: in the environment, in profiles,
    /// by single sign-on, or from the machine. `AWS_ENDPOINT_URL` replaces the services' endpoints.
    ///
    /// # Errors
    /// Returns a message if the region or the credentials are missing.
    pub async fn connect(
        http: HttpClient,
        region: Option<String>,
        deadline: Deadline,
    ) -> Result<Self, String> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        let config = loader.load().await;
        let region = config.region().map(Region::as_ref).ok_or("no region: use --region or AWS_REGION")?;
        // The region is part of a host name.
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("the region is not one of AWS".to_owned());
        }
        let provider = config.credentials_provider().ok_or("AWS: no credentials")?;
        let credentials = provider.provide_credentials().await;
        let credentials = credentials.map_err(|error| format!("AWS: no credentials: {error}"))?;
        let endpoint = config.endpoint_url().map(str::parse).transpose();
        let endpoint = endpoint.map_err(|error| format!("AWS_ENDPOINT_URL: {error}"))?;
        Ok(Self { client: AwsClient::new(http, region, credentials, endpoint), deadline })
    }

    /// Reads from an API with paths.
    async fn get<T: DeserializeOwned>(&self, action: &'static str, service: &str, path: &str) -> Answer<T> {
        let response = self.send(action, service, Method::GET, path, &[], Vec::new()).await?;
        serde_json::from_slice(&response.body).map_err(|_| Unanswered::unreadable(action))
    }

    /// Calls an operation of an API with one path.
    async fn call<T: DeserializeOwned>(&self, operation: &JsonOperation, input: &Value) -> Answer<T> {
        let JsonOperation { action, service, target, content_type } = *operation;
        let headers = [("content-type", content_type), ("x-amz-target", target)];
        let body = input.to_string().into_bytes();
        let response = self.send(action, service, Method::POST, "/", &headers, body).await?;
        serde_json::from_slice(&response.body).map_err(|_| Unanswered::unreadable(action))
    }

    async fn send(
        &self,
        action: &'static str,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer<AwsResponse> {
        let response = self.client.send(service, method, path, headers, body, self.deadline).await;
        response.map_err(|error| Unanswered::from_error(action, &error))
    }
}

/// Encodes a segment of a path.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}
