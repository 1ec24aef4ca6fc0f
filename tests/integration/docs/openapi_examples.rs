//! Every example of the API description is what really happens.

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixtures;
use super::scenario::{ESCALATION, HASH, SESSION, Stage};
use crate::support::openapi_document::{Document, Operation};

// NAME: described: every example of the API description is answered as it says
#[tokio::test]
async fn examples() -> Result<()> {
    let document = Document::read()?;
    let operations = document.operations();
    ensure!(!operations.is_empty(), "the document describes nothing");
    let played = join_all(operations.iter().map(|operation| of_operation(document, operation))).await;
    let mut failures = Vec::new();
    for of_operation in played {
        failures.extend(of_operation?);
    }
    ensure!(failures.is_empty(), "{} examples are wrong:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Plays the examples of one operation, in their order, and says which are wrong.
async fn of_operation(document: &Document, operation: &Operation<'_>) -> Result<Vec<String>> {
    let mut stage = Stage::set(document, LocalStack::builder()).await?;
    if operation.id != "create-session" {
        stage.open().await?;
    }
    let mut failures = Vec::new();
    let mut answered = Vec::new();
    for response in operation.responses()? {
        for (name, value) in response.examples()? {
            let played = play(document, &mut stage, operation, (response.status, name, value)).await;
            if let Err(error) = played {
                failures.push(format!("{} {} {name}: {error:#}", operation.id, response.status));
            }
            answered.push(name);
        }
    }
    for (name, _) in operation.bodies()? {
        let answers = answered.iter().filter(|answered| **answered == name).count();
        if answers != 1 {
            failures.push(format!("{}: the request {name} has {answers} answers", operation.id));
        }
    }
    Ok(failures)
}

async fn play(
    document: &Document,
    stage: &mut Stage,
    operation: &Operation<'_>,
    (status, name, value): (u16, &str, &Value),
) -> Result<()> {
    // The one that is told of a stack of its own.
    if (operation.id, name) == ("create-session", "newWithDefaults") {
        let mut without_chatkit = Stage::set(document, LocalStack::builder().chatkit(false)).await?;
        return compare(&mut without_chatkit, operation, (status, name, value)).await;
    }
    let compared = compare(stage, operation, (status, name, value)).await;
    fixtures::strike(stage).await;
    compared
}

async fn compare(
    stage: &mut Stage,
    operation: &Operation<'_>,
    (status, name, value): (u16, &str, &Value),
) -> Result<()> {
    let request = fixtures::arrange(stage, operation, name).await.context("its circumstances")?;
    if let (true, Some(body)) = (status < 300, &request.body) {
        operation.check_body(&serde_json::from_str(body)?)?;
    }
    let reply = stage.send(&request).await?;
    ensure!(reply.status == status, "answered {}: {}", reply.status, reply.body);
    operation.check(&reply)?;
    let mut expected = value.clone();
    if status >= 400 {
        // One example serves several operations.
        expected["instance"] = json!(request.instance());
        let request_id = reply.headers.get("x-request-id").context("no request id")?.to_str()?;
        ensure!(reply.body["requestId"] == request_id, "{} instead of {request_id}", reply.body["requestId"]);
    }
    stage.likeness.compare(&expected, &reply.body)
}

// NAME: described: every example of a parameter is taken
#[tokio::test]
async fn parameters() -> Result<()> {
    let document = Document::read()?;
    let mut stage = Stage::set(document, LocalStack::builder()).await?;
    stage.open().await?;
    let mut taken = 0;
    for operation in document.operations() {
        let ids: Vec<&Value> =
            operation.parameters("path")?.into_iter().map(|(_, example)| example).collect();
        ensure!(ids.iter().all(|id| **id == SESSION || **id == ESCALATION), "{}: {ids:?}", operation.id);
        for (name, example) in operation.parameters("query")? {
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            let request = stage.request(&operation)?.at(&format!("?{name}={text}"));
            let reply = stage.send(&request).await?;
            ensure!(reply.status == 200, "{} {name}: {} {}", operation.id, reply.status, reply.body);
            operation.check(&reply)?;
            taken += 1;
        }
        for (name, example) in operation.parameters("header")? {
            let text = example.as_str().context("a header that is no text")?;
            // A POST may have ended the session of before.
            stage.open().await?;
            if operation.id == "decide-escalation" {
                stage.ask(&Uuid::new_v4().to_string(), json!({})).await?;
            }
            let request = stage.request(&operation)?.header(name, text);
            let reply = stage.send(&request).await?;
            ensure!(reply.status.is_success(), "{} {name}: {} {}", operation.id, reply.status, reply.body);
            operation.check(&reply)?;
            taken += 1;
        }
    }
    ensure!(taken > 0, "there are no parameters");
    Ok(())
}

// NAME: described: every placeholder is one that the examples have, and says what it stands for
#[tokio::test]
async fn placeholders() -> Result<()> {
    let document = Document::read()?;
    let mut rest = document.root.clone();
    let placeholders = rest.as_object_mut().and_then(|root| root.remove("x-placeholders"));
    let Some(Value::Object(placeholders)) = placeholders else { bail!("no placeholders") };
    let rest = rest.to_string();
    for (name, meaning) in &placeholders {
        ensure!(rest.contains(name.as_str()), "no example has {name}");
        ensure!(meaning.as_str().is_some_and(|meaning| !meaning.is_empty()), "what is {name}?");
    }
    use super::scenario::{THREAD, USER};
    let known = [SESSION, USER, THREAD, ESCALATION, HASH];
    for known in known.into_iter().chain(document.agents()?.iter().filter_map(|a| a["id"].as_str())) {
        ensure!(placeholders.contains_key(known), "{known} is no placeholder of the document");
    }
    ensure!(
        placeholders.len() == known.len() + document.agents()?.len(),
        "not every placeholder is put in place"
    );
    Ok(())
}
