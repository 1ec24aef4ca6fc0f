//! The examples of `docs/openapi.yaml`, compared with real requests and responses.

mod escalation_requests;
mod preparation;
mod read_requests;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::example_env::{ESCALATION_ID, ExampleEnv, SESSION_ID, SUBJECT_HASH, THREAD_ID, USER_ID};
use crate::support::client::events;
use crate::support::openapi_document::{Document, Operation};

#[tokio::test]
async fn response_examples_match_real_responses() -> Result<()> {
    let document = Document::read()?;
    let operations = document.operations();
    ensure!(!operations.is_empty(), "docs/openapi.yaml has no operations");
    let results = operations.iter().map(|operation| check_operation(document, operation));
    let mut failures = Vec::new();
    for result in join_all(results).await {
        failures.extend(result?);
    }
    ensure!(failures.is_empty(), "{} examples do not match:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn parameter_examples_are_accepted() -> Result<()> {
    let document = Document::read()?;
    let mut env = ExampleEnv::start(document, LocalStack::builder()).await?;
    env.open_session().await?;
    env.open_chat().await?;
    let mut count = 0;
    for operation in document.operations() {
        let ids: Vec<&Value> =
            operation.parameters("path")?.into_iter().map(|(_, example)| example).collect();
        ensure!(
            ids.iter().all(|id| **id == SESSION_ID || **id == ESCALATION_ID),
            "{}: expected the placeholders of ids, found {ids:?}",
            operation.id
        );
        for (name, example) in operation.parameters("query")? {
            let text = match example {
                Value::String(text) => text.clone(),
                // Separated by commas: the document does not explode lists.
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                _ => example.to_string(),
            };
            let request = env.request(&operation)?.with_query(&format!("{name}={text}"));
            let reply = env.send(&request).await?;
            ensure!(
                reply.status == 200,
                "{} with {name}: expected the status 200, found {}: {}",
                operation.id,
                reply.status,
                reply.body
            );
            operation.check(&reply)?;
            count += 1;
        }
        for (name, example) in operation.parameters("header")? {
            let text = example.as_str().context("the example of a header is not a string")?;
            // The request before may have ended the session.
            env.open_session().await?;
            if operation.path.starts_with("/chatkit/escalations/") {
                env.open_escalation(&Uuid::new_v4().to_string(), json!({})).await?;
            }
            let request = env.request(&operation)?.with_header(name, text);
            let reply = env.send(&request).await?;
            ensure!(
                reply.status.is_success(),
                "{} with {name}: expected success, found {}: {}",
                operation.id,
                reply.status,
                reply.body
            );
            operation.check(&reply)?;
            count += 1;
        }
    }
    ensure!(count > 0, "docs/openapi.yaml has no parameters with examples");
    Ok(())
}

#[tokio::test]
async fn placeholders_are_documented_and_used() -> Result<()> {
    let document = Document::read()?;
    let mut rest = document.root.clone();
    let placeholders = rest.as_object_mut().and_then(|root| root.remove("x-placeholders"));
    let Some(Value::Object(placeholders)) = placeholders else {
        bail!("docs/openapi.yaml has no x-placeholders")
    };
    let rest = rest.to_string();
    for (name, meaning) in &placeholders {
        ensure!(rest.contains(name.as_str()), "no example contains the placeholder {name}");
        ensure!(
            meaning.as_str().is_some_and(|meaning| !meaning.is_empty()),
            "the placeholder {name} has no meaning"
        );
    }
    let known = [SESSION_ID, USER_ID, THREAD_ID, ESCALATION_ID, SUBJECT_HASH];
    for name in known.into_iter().chain(document.agents()?.iter().filter_map(|a| a["id"].as_str())) {
        ensure!(placeholders.contains_key(name), "x-placeholders does not contain {name}");
    }
    ensure!(
        placeholders.len() == known.len() + document.agents()?.len(),
        "the tests do not replace every placeholder of {placeholders:?}"
    );
    Ok(())
}

/// Checks the examples of an operation in their order, and returns the failures.
async fn check_operation(document: &Document, operation: &Operation<'_>) -> Result<Vec<String>> {
    let mut env = ExampleEnv::start(document, LocalStack::builder()).await?;
    match operation.id {
        "create-session" => {}
        "serve-chatkit" => drop(env.open_chat().await?),
        _ => env.open_session().await?,
    }
    let mut failures = Vec::new();
    let mut response_names = Vec::new();
    for response in operation.responses()? {
        for (name, value) in response.examples()? {
            let result = check_example(document, &mut env, operation, (response.status, name, value)).await;
            if let Err(error) = result {
                failures.push(format!("{} {} {name}: {error:#}", operation.id, response.status));
            }
            response_names.push(name);
        }
    }
    for (name, _) in operation.bodies()? {
        let count = response_names.iter().filter(|other| **other == name).count();
        if count != 1 {
            failures.push(format!(
                "{}: the request example {name} should have one response example, found {count}",
                operation.id
            ));
        }
    }
    Ok(failures)
}

async fn check_example(
    document: &Document,
    env: &mut ExampleEnv,
    operation: &Operation<'_>,
    (status, name, value): (u16, &str, &Value),
) -> Result<()> {
    // The response of a deployment without ChatKit.
    if (operation.id, name) == ("create-session", "newWithDefaults") {
        let mut without_chatkit = ExampleEnv::start(document, LocalStack::builder().chatkit(false)).await?;
        return compare(&mut without_chatkit, operation, (status, name, value)).await;
    }
    let result = compare(env, operation, (status, name, value)).await;
    preparation::reset(env).await;
    result
}

async fn compare(
    env: &mut ExampleEnv,
    operation: &Operation<'_>,
    (status, name, value): (u16, &str, &Value),
) -> Result<()> {
    let request = preparation::prepare(env, operation, name).await.context("preparing the example")?;
    if let (true, Some(body)) = (status < 300, &request.body) {
        operation.check_body(&serde_json::from_str(body)?)?;
    }
    let reply = env.send(&request).await?;
    ensure!(reply.status == status, "expected the status {status}, found {}: {}", reply.status, reply.body);
    operation.check(&reply)?;
    let mut expected = match (value, &reply.body) {
        // The example of a stream is its text.
        (Value::String(stream), Value::Array(_)) => events(stream)?,
        _ => value.clone(),
    };
    if status >= 400 {
        // Several operations share these examples.
        expected["instance"] = json!(request.instance());
        let request_id =
            reply.headers.get("x-request-id").context("the response has no request id")?.to_str()?;
        ensure!(
            reply.body["requestId"] == request_id,
            "expected the request id {request_id} in {}",
            reply.body
        );
    }
    env.matcher.compare(&expected, &reply.body)
}
