//! Signed requests to AWS.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::{
    Method, Request,
    header::{HeaderName, HeaderValue},
};
use url::Url;

use super::{AwsError, AwsResponse, Credentials};
use crate::platform::{
    aws::{endpoint_domain, signature},
    config::{self, Environment, Reported},
    http_client::{
        Deadline, HttpClient, Idempotency, RetryPolicy,
        classification::aws::{retry_decision, throttling_decision},
    },
};

/// For methods that may be repeated.
pub(super) const READ: RetryPolicy = RetryPolicy {
    system: "aws",
    try_timeout: Duration::from_secs(5),
    retry_window: Duration::from_secs(2),
    idempotency: Idempotency::Idempotent,
    retry_on: retry_decision,
};

/// For `POST`, which some of AWS's APIs use for every operation. It is repeated only if AWS did
/// nothing. The timeout is the longest that a synchronous invocation of a function takes.
const POST: RetryPolicy = RetryPolicy {
    try_timeout: Duration::from_secs(15 * 60),
    idempotency: Idempotency::NotIdempotent,
    retry_on: throttling_decision,
    ..READ
};

/// Client of AWS's APIs in one region, with one set of credentials.
#[derive(Clone, Debug)]
pub struct AwsClient {
    http: HttpClient,
    region: String,
    credentials: Credentials,
    /// Takes the place of every service's own endpoint.
    endpoint: Option<Url>,
}

impl AwsClient {
    /// Creates a client. `endpoint` is the base URL for all services; `None` for AWS's own.
    pub fn new(http: HttpClient, region: &str, credentials: Credentials, endpoint: Option<Url>) -> Self {
        Self { http, region: region.to_owned(), credentials, endpoint }
    }

    /// Reads the variables that Lambda sets for a function, and the endpoints that AWS's SDKs read
    /// too. Lambda is the only service that functions call with this client.
    pub fn from_environment(environment: &mut Environment, http: HttpClient) -> Result<Self, Reported> {
        let region = environment.required("AWS_REGION", parse_region);
        let key_id = environment.required("AWS_ACCESS_KEY_ID", config::visible_ascii);
        // The largest session token is not documented.
        let secret_key = environment.required("AWS_SECRET_ACCESS_KEY", parse_credential);
        let token = environment.optional("AWS_SESSION_TOKEN", parse_credential);
        let endpoint = environment.optional("AWS_ENDPOINT_URL", config::base_url);
        let of_lambda = environment.optional("AWS_ENDPOINT_URL_LAMBDA", config::base_url);
        let region = region?;
        let endpoint = endpoint?;
        let endpoint = of_lambda?.or(endpoint);
        let credentials = Credentials::new(key_id?, secret_key?, token?, None, "environment");
        Ok(Self::new(http, &region, credentials, endpoint))
    }

    /// The region of the services.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Signs a request and sends it. `service` is the prefix of the endpoint and the name in the
    /// signature, for example `lambda`. `path_and_query` begins with `/` and is percent-encoded.
    ///
    /// # Errors
    /// A response other than a success is an error. A request that AWS throttled is repeated up to
    /// two times; one with a method other than `POST` also after an error of the service.
    pub async fn send(
        &self,
        service: &str,
        method: Method,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
        deadline: Deadline,
    ) -> Result<AwsResponse, AwsError> {
        let policy = if method == Method::POST { POST } else { READ };
        let request = self.signed(service, method, path_and_query, headers, body)?;
        self.execute(request, policy, deadline).await
    }

    /// Builds a signed request.
    pub(super) fn signed(
        &self,
        service: &str,
        method: Method,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Request, AwsError> {
        let mut request = Request::new(method, self.url(service, path_and_query)?);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| AwsError::InvalidRequest("the name of a header"))?;
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|_| AwsError::InvalidRequest("the value of a header"))?;
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = Some(body.into().into());
        signature::sign(&mut request, service, &self.region, &self.credentials, SystemTime::now())
            .map_err(AwsError::InvalidRequest)?;
        Ok(request)
    }

    /// Sends a signed request.
    pub(super) async fn execute(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<AwsResponse, AwsError> {
        let response = self.http.send(request, policy, deadline).await?;
        response.into_aws_response().map_err(AwsError::Rejected)
    }

    fn url(&self, service: &str, path_and_query: &str) -> Result<Url, AwsError> {
        let base = match &self.endpoint {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{service}.{}.{}", self.region, endpoint_domain(&self.region)),
        };
        format!("{base}{path_and_query}").parse().map_err(|_| AwsError::InvalidRequest("the URL"))
    }
}

/// The region is part of a host name.
fn parse_region(value: &str) -> Result<String, String> {
    let is_plain =
        value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_plain { Ok(value.to_owned()) } else { Err("must be a region such as eu-central-1".to_owned()) }
}

fn parse_credential(value: &str) -> Result<String, String> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(value.to_owned()) } else { Err("must consist of visible ASCII characters".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: [(&str, &str); 4] = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "c4n4ry/key+"),
        ("AWS_SESSION_TOKEN", "c4n4ry/token=="),
    ];

    /// Builds a client from the variables of a function, some of them replaced.
    fn client(replaced: &'static [(&'static str, &'static str)]) -> Result<AwsClient, String> {
        let read = |name: &str| {
            let variable = replaced.iter().chain(&VARIABLES).find(|(known, _)| *known == name);
            variable.map(|(_, value)| (*value).to_owned())
        };
        let mut environment = Environment::new(read);
        let client = AwsClient::from_environment(&mut environment, HttpClient::new().unwrap());
        environment.finish(client).map_err(|errors| errors.to_string())
    }

    #[test]
    fn endpoint_is_that_of_the_service_and_region_unless_replaced() {
        let url = |client: AwsClient| client.url("lambda", "/2015-03-31/functions").unwrap().to_string();
        assert_eq!(
            url(client(&[]).unwrap()),
            "https://lambda.eu-central-1.amazonaws.com/2015-03-31/functions"
        );
        assert_eq!(
            url(client(&[("AWS_REGION", "cn-north-1")]).unwrap()),
            "https://lambda.cn-north-1.amazonaws.com.cn/2015-03-31/functions"
        );
        assert_eq!(
            url(client(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9001/")]).unwrap()),
            "http://127.0.0.1:9001/2015-03-31/functions"
        );
        const BOTH: [(&str, &str); 2] = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9001"),
            ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9002"),
        ];
        assert_eq!(url(client(&BOTH).unwrap()), "http://127.0.0.1:9002/2015-03-31/functions");
    }

    #[test]
    fn invalid_variables_are_reported_without_their_values() {
        let errors = client(&[
            ("AWS_REGION", "evil.example/"),
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", "c4n4ry key"),
            ("AWS_ENDPOINT_URL", "http://evil.example"),
        ]);
        let errors = errors.unwrap_err();
        assert!(errors.contains("4 mistake(s)"), "{errors}");
        assert!(!errors.contains("c4n4ry") && !errors.contains("evil"), "{errors}");
    }

    #[test]
    fn debug_output_redacts_the_credentials() {
        let client = client(&[]).unwrap();
        let printed = format!("{client:?}");
        assert!(!printed.contains("c4n4ry"), "{printed}");
    }
}
