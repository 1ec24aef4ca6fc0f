//! The reference server and ours, with the same requests and the same scripted model: they send the
//! same events in the same order, but for the rows of [`Difference`].

mod difference;
mod scenarios;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::model::{Fault, Quirk, Script};
use serde_json::{Map, Value};

use super::reference::{Reply, Server};
use crate::chat::fixture::{ChatPage, register_agent, text};
use crate::support::client::TestClient;
use crate::support::skip;
use difference::Difference;
use scenarios::scenarios;

/// Requests of one page to a server, and how its answers differ from the reference's.
pub struct Scenario {
    name: &'static str,
    quirks: Vec<Quirk>,
    steps: Vec<Step>,
    differences: Vec<Difference>,
}

/// One request. In its parameters, `@thread`, `@user:n` and `@answer:n` are ids of earlier answers.
pub struct Step {
    kind: &'static str,
    params: Value,
    model: Model,
}

/// The model's reaction to the request.
pub enum Model {
    /// The request does not reach the model.
    Unused,
    Answers(Script),
    Rejects(Fault),
}

/// Ids that later requests refer to.
#[derive(Default)]
struct Ids {
    thread: String,
    users: Vec<String>,
    answers: Vec<String>,
}

#[tokio::test]
async fn answers_equal_those_of_the_reference_but_for_written_differences() -> Result<()> {
    skip::with_tools(async {
        let stack = LocalStack::start().await?;
        let org_id = uuid::Uuid::new_v4();
        register_agent(&stack, org_id, serde_json::json!({ "p_reasoning_effort": "low" })).await?;
        let mut failures = Vec::new();
        let scenarios = scenarios();
        for scenario in &scenarios {
            let user =
                TestClient::in_organisation(&stack, org_id, local_stack::supabase::OrgRole::Member).await?;
            let ours = Server::Ours(ChatPage::of_user(&stack, user).await?.chat);
            let ours = replies(&stack, ours, scenario).await.with_context(|| scenario.name)?;
            let reference = Server::start_reference(stack.model()).await?;
            let reference = replies(&stack, reference, scenario).await.with_context(|| scenario.name)?;
            if let Err(error) = compare(scenario, ours, reference) {
                failures.push(format!("{}: {error:#}", scenario.name));
            }
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
        for difference in Difference::ALL {
            let is_used = scenarios.iter().any(|scenario| scenario.differences.contains(&difference));
            ensure!(is_used, "no scenario shows {difference:?}: {}", difference.reason());
        }
        Ok(())
    })
    .await
}

/// Sends the requests of a scenario.
async fn replies(stack: &LocalStack, mut server: Server, scenario: &Scenario) -> Result<Vec<Reply>> {
    let model = stack.model();
    model.set_quirks(scenario.quirks.iter().copied());
    let mut ids = Ids::default();
    let mut replies = Vec::new();
    for Step { kind, params, model: answer } in &scenario.steps {
        let mut params = params.clone();
        replace(&mut params, &ids);
        let fault = match answer {
            Model::Unused => None,
            Model::Answers(script) => {
                model.script(script.clone());
                None
            }
            Model::Rejects(fault) => Some(model.add_fault(fault.clone())),
        };
        let reply = server.send(kind, &params).await.with_context(|| format!("{kind} {params}"))?;
        if let Some(fault) = fault {
            ensure!(model.hits(fault) > 0, "{kind}: the model was not asked");
            model.clear(fault);
        }
        ensure!(model.scripts_left() == 0, "{kind}: the model was not asked: {reply:#?}");
        if let Reply::Stream(events) = &reply {
            events.iter().for_each(|event| ids.learn(event));
        }
        replies.push(reply);
    }
    Ok(replies)
}

/// Removes the written differences, and compares the rest.
fn compare(scenario: &Scenario, mut ours: Vec<Reply>, mut reference: Vec<Reply>) -> Result<()> {
    for difference in &scenario.differences {
        let is_found = difference.remove(&mut ours, &mut reference);
        ensure!(is_found, "{difference:?} does not occur any more\n{ours:#?}\n{reference:#?}");
    }
    let (ours, reference) = (Normalised::from_replies(&ours), Normalised::from_replies(&reference));
    for (index, (our, reference)) in ours.0.iter().zip(&reference.0).enumerate() {
        ensure!(our == reference, "line {index}: ours is\n{our}\nthe reference's is\n{reference}");
    }
    let (longer, whose) =
        if ours.0.len() > reference.0.len() { (&ours, "ours") } else { (&reference, "the reference") };
    let common = ours.0.len().min(reference.0.len());
    ensure!(ours.0.len() == reference.0.len(), "only {whose} has\n{:#?}", &longer.0[common..]);
    Ok(())
}

impl Ids {
    fn learn(&mut self, event: &Value) {
        if event["type"] == "thread.created" {
            self.thread = text(&event["thread"]["id"]);
        }
        let (item, is_done) = (&event["item"], event["type"] == "thread.item.done");
        match item["type"].as_str() {
            Some("user_message") if is_done => self.users.push(text(&item["id"])),
            Some("assistant_message") if is_done => self.answers.push(text(&item["id"])),
            _ => {}
        }
    }
}

fn replace(value: &mut Value, ids: &Ids) {
    match value {
        Value::String(text) => {
            let item = |list: &[String], prefix: &str| {
                let index = text.strip_prefix(prefix)?.parse::<usize>().ok()?;
                list.get(index).cloned()
            };
            let id = item(&ids.users, "@user:").or_else(|| item(&ids.answers, "@answer:"));
            if text == "@thread" {
                *text = ids.thread.clone();
            } else if let Some(id) = id {
                *text = id;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, ids)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, ids)),
        _ => {}
    }
}

/// The lines of replies, with numbers instead of ids, and without times.
struct Normalised(Vec<String>);

impl Normalised {
    fn from_replies(replies: &[Reply]) -> Self {
        let mut names = Vec::new();
        let mut lines = Vec::new();
        for reply in replies {
            match reply {
                Reply::Stream(events) => {
                    lines.push("stream".to_owned());
                    lines.extend(events.iter().map(|event| normalise(event, &mut names).to_string()));
                }
                Reply::Json(json) => lines.push(format!("json {}", normalise(json, &mut names))),
                Reply::Refused(reason) => lines.push(format!("refused {reason}")),
            }
        }
        Self(lines)
    }
}

fn normalise(value: &Value, names: &mut Vec<String>) -> Value {
    match value {
        Value::Array(values) => values.iter().map(|value| normalise(value, names)).collect(),
        Value::Object(fields) => {
            let mut normalised = Map::new();
            // The id of a tag is the page's.
            let is_tag = fields.get("type").is_some_and(|kind| kind == "input_tag");
            // The order of the fields differs.
            let fields: BTreeMap<_, _> = fields.iter().collect();
            for (name, value) in fields {
                let value = match (name.as_str(), value) {
                    ("id" | "item_id" | "thread_id" | "after", Value::String(id)) if !is_tag => {
                        let at = names.iter().position(|name| name == id).unwrap_or_else(|| {
                            names.push(id.clone());
                            names.len() - 1
                        });
                        format!("id {at}").into()
                    }
                    ("created_at", Value::String(_)) => "a time".into(),
                    ("duration", Value::Number(_)) => "a duration".into(),
                    _ => normalise(value, names),
                };
                normalised.insert(name.clone(), value);
            }
            Value::Object(normalised)
        }
        _ => value.clone(),
    }
}
