//! Starts a Lambda function without waiting for its result.
//! Source: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::time::Duration;

use reqwest::Method;
use tokio::{sync::Mutex, time::Instant};

use super::{AwsClient, AwsError, client::READ};
use crate::platform::{
    config::{Environment, Reported},
    http_client::{Deadline, HttpClient, RetryPolicy},
};

/// A start may be repeated: a run without work ends at once.
const START: RetryPolicy = RetryPolicy { try_timeout: Duration::from_secs(1), ..READ };

/// Longest time for a start with its retries.
const START_TIMEOUT: Duration = Duration::from_secs(3);

/// Shortest time between two starts by one process. An earlier request waits. So a process starts
/// at most four runs a second, and a request that Lambda rejects because all processes wait is
/// covered by the run that each of them is about to start.
pub const START_INTERVAL: Duration = Duration::from_millis(250);

/// Starts one function, at most once in [`START_INTERVAL`].
pub struct FunctionStarter {
    client: AwsClient,
    path: String,
    last_start: Mutex<Option<Instant>>,
}

impl FunctionStarter {
    /// Reads the function's name or ARN from a variable.
    pub fn from_environment(
        environment: &mut Environment,
        http: HttpClient,
        variable: &'static str,
    ) -> Result<Self, Reported> {
        let client = AwsClient::from_environment(environment, http);
        let function = environment.required(variable, parse_function);
        let (client, function) = (client?, function?);
        let path = format!("/2015-03-31/functions/{function}/invocations");
        Ok(Self { client, path, last_start: Mutex::default() })
    }

    /// Queues an event for the function. Lambda starts it as soon as it has capacity.
    ///
    /// # Errors
    /// Lambda did not accept the event.
    pub async fn start(&self, deadline: Deadline) -> Result<(), AwsError> {
        let mut last_start = self.last_start.lock().await;
        if let Some(last) = *last_start {
            tokio::time::sleep_until(last + START_INTERVAL).await;
        }
        *last_start = Some(Instant::now());
        let headers = [("content-type", "application/json"), ("x-amz-invocation-type", "Event")];
        let deadline = deadline.capped(START_TIMEOUT);
        let request = self.client.signed("lambda", Method::POST, &self.path, &headers, "{}")?;
        self.client.execute(request, START, deadline).await.map(drop)
    }
}

/// Parses the name or the ARN of a function, and encodes it for a path.
fn parse_function(value: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte);
    if value.len() <= 170 && value.bytes().all(is_plain) {
        Ok(value.replace(':', "%3A"))
    } else {
        Err("must be the name or the ARN of a Lambda function".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arn_is_encoded_and_a_path_is_rejected() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:chatkit-RouteEvents-1a2B";
        let encoded =
            "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Achatkit-RouteEvents-1a2B";
        assert_eq!(parse_function(arn).as_deref(), Ok(encoded));
        assert_eq!(parse_function("route-events").as_deref(), Ok("route-events"));
        for invalid in ["a/b", "a?b", "a%2Fb", "ä", "a b"] {
            assert!(parse_function(invalid).is_err(), "{invalid}");
        }
    }
}
