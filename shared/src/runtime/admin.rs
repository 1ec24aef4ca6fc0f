//! Serving a function that an operator invokes with an order. It has no URL, no route and no schedule: who may order is who
//! may invoke it, and that is IAM's affair.

use std::{future::Future, panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use futures_util::FutureExt;
use lambda_http::lambda_runtime::{self, LambdaEvent, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{
    error::{Error, ErrorCode, FieldError, pointer},
    platform::{
        http_client::Deadline,
        telemetry::{self, TARGET},
    },
    runtime::{
        Dependencies, Reported,
        event::Payload,
        http_service::{BoxError, bootstrap, deadline, error_chain},
    },
};

/// What is done when an operator says so.
pub trait AdminTask: Send + Sync + Sized + 'static {
    /// What the operator sends. Unknown members should be refused: an order that is half understood is none.
    type Input: DeserializeOwned + Send;

    /// What came of it, for the operator to read.
    type Report: Serialize + Send;

    /// Takes the rooms that it needs, and no others. Ask for all of them before looking at the first, so that every
    /// mistake in the configuration is reported at once.
    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported>;

    /// Carries out an order, until the deadline nears.
    ///
    /// # Errors
    /// What kept it from being carried out. The invocation fails then, and says why to whoever invoked it.
    fn run(
        &self,
        order: Self::Input,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Report, Error>> + Send;
}

/// Serves such a function until Lambda ends the process.
pub fn serve_admin<O: AdminTask>() -> ExitCode {
    bootstrap::<O>(run::<O>())
}

async fn run<O: AdminTask>() -> Result<(), BoxError> {
    let operated = Arc::new(Dependencies::build_from_process(O::new)?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let operated = Arc::clone(&operated);
        async move { run_task(operated.as_ref(), event).await }
    }))
    .await
}

/// One order and its log line. A panic is a failure like another.
async fn run_task<O: AdminTask>(operated: &O, event: LambdaEvent<Payload>) -> Result<Value, BoxError> {
    let span = telemetry::admin_task(&event.context);
    let outcome = async {
        let outcome = match parse_input(event.payload.into_value().unwrap_or_default()) {
            Ok(order) => {
                let run = AssertUnwindSafe(operated.run(order, deadline(&event.context))).catch_unwind();
                run.await.unwrap_or_else(|_panic| Err(Error::new(ErrorCode::Internal).cause("panicked")))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(report) => {
                let report = serde_json::to_value(report)?;
                tracing::info!(target: TARGET, %report, "order done");
                Ok(report)
            }
            Err(error) => {
                tracing::error!(target: TARGET, code = error.code.as_str(), cause = error_chain(&error), "order failed");
                Err(BoxError::from(error_message(&error)))
            }
        }
    }
    .instrument(span)
    .await;
    telemetry::flush().await;
    outcome
}

/// The order, or where in it the mistake is. A list is refused here since a derived parser would take one as the fields in
/// their order.
fn parse_input<T: DeserializeOwned>(payload: Value) -> Result<T, Error> {
    let Value::Object(fields) = payload else {
        return Err(Error::invalid(vec![FieldError::at("", "must be an object")]));
    };
    serde_path_to_error::deserialize(fields)
        .map_err(|error| Error::invalid(vec![FieldError::parsing(pointer(error.path()), error.inner())]))
}

/// What a failed invocation says to the operator, as its `errorMessage`: the code, what it means, and what to do. The causes
/// are for the log, as everywhere.
fn error_message(error: &Error) -> String {
    let mut message = format!("{}: {}.", error.code.as_str(), error.code.title());
    for field in &error.fields {
        let at = if field.pointer.is_empty() { "The order" } else { &field.pointer };
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
    struct Dismissal {
        user_id: uuid::Uuid,
    }

    #[test]
    fn an_order_that_is_not_understood_says_where() {
        let refused = |order: Value| error_message(&parse_input::<Dismissal>(order).unwrap_err());
        let wrong = refused(serde_json::json!({ "userId": "s3cret" }));
        assert!(wrong.starts_with("invalid_request: ") && wrong.contains("/userId: "), "{wrong}");
        assert!(refused(serde_json::json!({})).contains("The order: missing field `userId`"));
        assert!(refused(serde_json::json!([])).contains("The order: must be an object."));
        assert!(refused(serde_json::json!({ "user": 1 })).contains("unknown field"));
        let user_id = uuid::Uuid::nil();
        assert_eq!(
            parse_input::<Dismissal>(serde_json::json!({ "userId": user_id })).unwrap(),
            Dismissal { user_id }
        );
    }

    struct Panics;

    impl AdminTask for Panics {
        type Input = Dismissal;
        type Report = ();

        fn new(_: &mut Dependencies) -> Result<Self, Reported> {
            Ok(Self)
        }

        async fn run(&self, _: Dismissal, _: Deadline) -> Result<(), Error> {
            panic!("as a control")
        }
    }

    #[tokio::test]
    async fn a_panic_and_a_payload_that_is_no_json_are_orders_that_failed() {
        let said = async |payload: &str| {
            let event = LambdaEvent::new(Payload::parse(payload.as_bytes()), Default::default());
            run_task(&Panics, event).await.unwrap_err().to_string()
        };
        let panicked = said(r#"{"userId":"00000000-0000-0000-0000-000000000000"}"#).await;
        assert!(panicked.starts_with("internal_error: "), "{panicked}");
        assert!(said("{").await.starts_with("invalid_request: "));
    }

    #[test]
    fn a_failed_order_says_what_to_do() {
        let failed = error_message(&Error::new(ErrorCode::SupabaseUnavailable).cause("10.0.0.1"));
        assert!(failed.starts_with("supabase_unavailable: Supabase is unavailable. Try again"), "{failed}");
        assert!(!failed.contains("10.0.0.1"));
    }
}
