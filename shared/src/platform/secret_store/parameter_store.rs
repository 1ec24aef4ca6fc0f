//! The AWS Systems Manager Parameter Store: its operation `GetParameter`. `aws-sdk-ssm` has 150
//! operations, and takes longer to compile than the rest of the SDK together.
//! Source: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use reqwest::{
    Method, Request,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{FetchError, FetchedSecret};
use crate::platform::{
    aws::{endpoint_domain, signature},
    http_client::{HttpClient, aws_connector, classification::sanitize_code},
    parse::Timestamp,
    secret::Secret,
};

const SERVICE: &str = "ssm";
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const GET_PARAMETER: HeaderValue = HeaderValue::from_static("AmazonSSM.GetParameter");
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Timeout of one attempt, and the number of attempts.
const TIMEOUT: Duration = Duration::from_millis(2200);
const ATTEMPTS: usize = 2;

/// Client of the service in one region.
pub(super) struct ParameterStore {
    http: HttpClient,
    region: String,
    url: Url,
    credentials: SharedCredentialsProvider,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    parameter: Parameter,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    value: Secret,
    version: i64,
    /// Seconds since 1970.
    last_modified_date: Option<f64>,
}

impl ParameterStore {
    /// Takes region, endpoint and credentials from the SDK's configuration.
    pub fn new(http: &HttpClient, config: &SdkConfig) -> Result<Self, FetchError> {
        let region = config.region().ok_or_else(|| fetch_error("the region is not set"))?.to_string();
        let domain = endpoint_domain(&region);
        let own = format!("https://{SERVICE}.{region}.{domain}/");
        let url = config.endpoint_url().unwrap_or(&own).parse();
        let url = url.map_err(|_| fetch_error("the region or the endpoint is invalid"))?;
        let credentials = config.credentials_provider().ok_or_else(|| fetch_error("no credentials"))?;
        Ok(Self { http: http.clone(), region, url, credentials })
    }

    /// Fetches a SecureString, and with `previous` also the version before it.
    pub async fn fetch(&self, name: &str, previous: bool) -> Result<FetchedSecret, FetchError> {
        let current = self.get(name).await?;
        let replaced = match current.version - 1 {
            version @ 1.. if previous => self.get(&format!("{name}:{version}")).await.ok(),
            _ => None,
        };
        let stored_at = current.last_modified_date.and_then(|seconds| Timestamp::from_second(seconds as i64));
        Ok(FetchedSecret { current: current.value, stored_at, previous: replaced.map(|it| it.value) })
    }

    async fn get(&self, name: &str) -> Result<Parameter, FetchError> {
        let body = json!({ "Name": name, "WithDecryption": true }).to_string();
        let mut answer = Err(fetch_error("cannot be reached"));
        for _ in 0..ATTEMPTS {
            let request = self.request(&body).await?;
            let exchange = aws_connector::exchange(&self.http, request);
            match tokio::time::timeout(TIMEOUT, exchange).await {
                Ok(Ok((status, body))) => {
                    answer = Ok((status, body));
                    if !status.is_server_error() {
                        break;
                    }
                }
                Ok(Err(_)) => answer = Err(fetch_error("cannot be reached")),
                Err(_) => answer = Err(fetch_error("no answer in time")),
            }
        }
        let (status, body) = answer?;
        if !status.is_success() {
            return Err(fetch_error(error_code(&body)));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| fetch_error("an invalid answer"))?;
        Ok(answer.parameter)
    }

    /// Builds a signed request.
    async fn request(&self, body: &str) -> Result<Request, FetchError> {
        let credentials = self.credentials.provide_credentials().await;
        let credentials = credentials.map_err(|_| fetch_error("no credentials"))?;
        let mut request = Request::new(Method::POST, self.url.clone());
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(TARGET, GET_PARAMETER);
        *request.body_mut() = Some(body.to_owned().into());
        signature::sign(&mut request, SERVICE, &self.region, &credentials, SystemTime::now())
            .map_err(fetch_error)?;
        Ok(request)
    }
}

/// Returns the code of an error response, for example `ParameterNotFound`. A prefix of older
/// services is removed.
fn error_code(body: &[u8]) -> &str {
    let body: Option<ErrorBody<'_>> = serde_json::from_slice(body).ok();
    let code = body.map(|body| body.kind).unwrap_or_default();
    let code = sanitize_code(code.rsplit('#').next().unwrap_or_default(), 60);
    if code.is_empty() { "an unknown error" } else { code }
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
}

fn fetch_error(cause: &str) -> FetchError {
    FetchError { store: "the AWS Parameter Store", cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_code_is_read_without_the_message() {
        let not_found = br#"{"__type":"ParameterNotFound","message":"Parameter t0ken not found."}"#;
        assert_eq!(error_code(not_found), "ParameterNotFound");
        assert_eq!(
            error_code(br#"{"__type":"com.amazonaws.ssm#ThrottlingException"}"#),
            "ThrottlingException"
        );
        for unknown in [&b"<html>t0ken"[..], br#"{"__type":"t0ken and more"}"#, b"{}"] {
            assert_eq!(error_code(unknown), "an unknown error");
        }
    }
}
