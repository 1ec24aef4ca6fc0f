//! Admin tasks: functions that an operator invokes directly with a JSON input. They have no URL,
//! route or schedule; IAM decides who may invoke them.

use std::{future::Future, panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use futures_util::FutureExt;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{
    error::{Error, ErrorCode, FieldError, pointer},
    platform::{
        http_client::Deadline,
        parse,
        telemetry::{self, TARGET},
    },
    runtime::{
        Dependencies, Reported,
        http_edge::{deadline, error_chain},
        http_service::{BoxError, bootstrap},
    },
};

/// A task that an operator starts by invoking its function.
pub trait AdminTask: Send + Sync + Sized + 'static {
    /// The input. Unknown fields should be rejected, so that no request is only partly understood.
    type Input: DeserializeOwned + Send;

    /// The result, which the invocation returns to the operator.
    type Report: Serialize + Send;

    /// Builds the dependencies that the task needs, and no others. Request all of them before
    /// unwrapping the first, so that all configuration errors are reported at once.
    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported>;

    /// Runs the task until the deadline nears.
    ///
    /// # Errors
    /// Returns an error if the task is not finished. The invocation then fails and returns the
    /// error's message to the operator.
    fn run(
        &self,
        input: Self::Input,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Report, Error>> + Send;
}

/// Serves an admin task until Lambda ends the process.
pub fn serve_admin<O: AdminTask>() -> ExitCode {
    bootstrap::<O>(run::<O>())
}

/// The payload of an invocation, read as strictly as the body of a request: a name that is given
/// twice is rejected. Deserialising it never fails, since the Lambda runtime would report that as
/// an error of the function, without a log record of ours.
struct Payload(Result<Value, FieldError>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(parse::json_value(deserializer)))
    }
}

async fn run<O: AdminTask>() -> Result<(), BoxError> {
    let task = Arc::new(Dependencies::build_from_process(O::new).await?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let task = Arc::clone(&task);
        async move { run_task(task.as_ref(), event).await }
    }))
    .await
}

/// Runs the task for one event and writes its log record. A panic is reported as an error.
async fn run_task<O: AdminTask>(task: &O, event: LambdaEvent<Payload>) -> Result<Value, BoxError> {
    let span = telemetry::admin_task(&event.context);
    let outcome = async {
        let outcome = match parse_input(event.payload) {
            Ok(input) => {
                let run = AssertUnwindSafe(task.run(input, deadline(&event.context))).catch_unwind();
                run.await.unwrap_or_else(|_panic| Err(Error::new(ErrorCode::Internal).cause("panicked")))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(report) => {
                let report = serde_json::to_value(report)?;
                tracing::info!(target: TARGET, %report, "task completed");
                Ok(report)
            }
            Err(error) => {
                tracing::error!(target: TARGET, code = error.code.as_str(), cause = error_chain(&error), "task failed");
                Err(BoxError::from(error_message(&error)))
            }
        }
    }
    .instrument(span)
    .await;
    telemetry::flush().await;
    outcome
}

/// Parses the input, or returns a pointer to the error. Rejects arrays, since a derived
/// `Deserialize` would accept one with the fields in order.
fn parse_input<T: DeserializeOwned>(payload: Payload) -> Result<T, Error> {
    let Value::Object(fields) = payload.0.map_err(|error| Error::invalid(vec![error]))? else {
        return Err(Error::invalid(vec![FieldError::at("", "must be an object")]));
    };
    serde_path_to_error::deserialize(fields)
        .map_err(|error| Error::invalid(vec![FieldError::parsing(pointer(error.path()), error.inner())]))
}

/// Describes an error for an operator, for example in the `errorMessage` of a failed invocation:
/// the code, its title and its advice. The causes are only logged.
pub fn error_message(error: &Error) -> String {
    let mut message = format!("{}: {}.", error.code.as_str(), error.code.title());
    for field in &error.fields {
        let at = if field.pointer.is_empty() { "The input" } else { &field.pointer };
        message.push_str(&format!(" {at}: {}.", field.detail));
    }
    if let Some(detail) = &error.detail {
        message.push_str(&format!(" {detail}"));
    }
    if error.code != ErrorCode::InvalidRequest {
        message.push_str(&format!(" {}", error.code.advice()));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct TestInput {
        user_id: uuid::Uuid,
    }

    #[test]
    fn invalid_input_reports_a_pointer() {
        let error_for =
            |input: Value| error_message(&parse_input::<TestInput>(Payload(Ok(input))).unwrap_err());
        let invalid = error_for(serde_json::json!({ "userId": "s3cret" }));
        assert!(invalid.starts_with("invalid_request: ") && invalid.contains("/userId: "), "{invalid}");
        assert!(error_for(serde_json::json!({})).contains("The input: missing field `userId`"));
        assert!(error_for(serde_json::json!([])).contains("The input: must be an object."));
        assert!(error_for(serde_json::json!({ "user": 1 })).contains("unknown field"));
        let user_id = uuid::Uuid::nil();
        assert_eq!(
            parse_input::<TestInput>(Payload(Ok(serde_json::json!({ "userId": user_id })))).unwrap(),
            TestInput { user_id }
        );
    }

    struct Panics;

    impl AdminTask for Panics {
        type Input = TestInput;
        type Report = ();

        fn new(_: &mut Dependencies) -> Result<Self, Reported> {
            Ok(Self)
        }

        async fn run(&self, _: TestInput, _: Deadline) -> Result<(), Error> {
            panic!("as a control")
        }
    }

    #[tokio::test]
    async fn panic_or_malformed_json_fails_the_invocation() {
        let failure = async |payload: &str| {
            let payload = Payload::deserialize(&mut serde_json::Deserializer::from_str(payload)).unwrap();
            let event = LambdaEvent::new(payload, Default::default());
            run_task(&Panics, event).await.unwrap_err().to_string()
        };
        let panicked = failure(r#"{"userId":"00000000-0000-0000-0000-000000000000"}"#).await;
        assert!(panicked.starts_with("internal_error: "), "{panicked}");
        assert!(failure("{").await.starts_with("invalid_request: "));
        let twice = failure(
            r#"{"userId":"00000000-0000-0000-0000-000000000000","userId":"00000000-0000-0000-0000-000000000001"}"#,
        );
        let twice = twice.await;
        assert!(twice.contains("/userId: is given twice"), "{twice}");
    }

    #[test]
    fn error_message_has_advice_and_no_cause() {
        let failed = error_message(&Error::new(ErrorCode::SupabaseUnavailable).cause("10.0.0.1"));
        assert!(failed.starts_with("supabase_unavailable: Supabase is unavailable. Try again"), "{failed}");
        assert!(!failed.contains("10.0.0.1"));
    }
}
