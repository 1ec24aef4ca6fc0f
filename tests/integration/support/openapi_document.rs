//! `docs/openapi.yaml`: operations, examples and the schemas of requests and responses.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use http_client::header::HeaderMap;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::client::TestResponse;
use super::project_files::read_yaml;
use super::template::Routes;

pub struct Document {
    pub root: Value,
    /// By the text of the schema, because building a validator is slow.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

static DOCUMENT: LazyLock<Result<Document>> =
    LazyLock::new(|| Ok(Document { root: read_yaml("docs/openapi.yaml")?, validators: Mutex::default() }));

#[derive(Clone, Copy)]
pub struct Operation<'a> {
    document: &'a Document,
    /// `operationId`, which is the package of the function.
    pub id: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    item: &'a Value,
    node: &'a Value,
}

#[derive(Clone, Copy)]
pub struct Response<'a> {
    document: &'a Document,
    pub status: u16,
    node: &'a Value,
}

impl Document {
    pub fn read() -> Result<&'static Self> {
        DOCUMENT.as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    /// The operations in the order of the document.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = entries(&self.root["paths"]);
        let operations = paths.flat_map(|(path, item)| {
            entries(item).filter_map(move |(method, node)| {
                let id = node["operationId"].as_str()?;
                Some(Operation { document: self, id, method, path, item, node })
            })
        });
        operations.collect()
    }

    pub fn operation(&self, id: &str) -> Result<Operation<'_>> {
        let found = self.operations().into_iter().find(|operation| operation.id == id);
        found.with_context(|| format!("docs/openapi.yaml has no operation {id}"))
    }

    /// The operation of a request.
    pub fn operation_at(&self, method: &str, path: &str) -> Result<Operation<'_>> {
        let matches = |template: &str| {
            let (parts, expected) = (path.split('/'), template.split('/'));
            parts.clone().count() == expected.clone().count()
                && parts.zip(expected).all(|(part, expected)| expected.starts_with('{') || part == expected)
        };
        let mut operations = self.operations().into_iter();
        let found = operations.find(|o| o.method.eq_ignore_ascii_case(method) && matches(o.path));
        found.with_context(|| format!("docs/openapi.yaml has no operation {method} {path}"))
    }

    /// The agents of the examples.
    pub fn agents(&self) -> Result<Vec<Value>> {
        let responses = self.operation("list-agents")?.responses()?;
        let examples = responses.first().context("list-agents has no response")?.examples()?;
        let (_, list) = examples.first().context("list-agents has no example")?;
        Ok(list["agents"].as_array().context("the example lists no agents")?.clone())
    }

    pub fn routes(&self) -> Routes {
        let operations = self.operations().into_iter();
        let routes = operations.map(|o| (o.method.to_uppercase(), o.path.to_owned(), o.id.to_owned()));
        routes.collect()
    }

    /// The target of a `$ref`, or the node itself.
    pub fn resolve<'a>(&'a self, node: &'a Value) -> Result<&'a Value> {
        match node["$ref"].as_str() {
            None => Ok(node),
            Some(to) => {
                let found = to.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
                found.with_context(|| format!("the reference {to} has no target"))
            }
        }
    }

    /// Checks a value against a schema of `components`.
    pub fn check_component(&self, name: &str, value: &Value) -> Result<()> {
        let component = format!("#/components/schemas/{name}");
        ensure!(self.root.pointer(&component[1..]).is_some(), "docs/openapi.yaml has no schema {name}");
        self.check(&json!({ "$ref": component }), value).with_context(|| format!("the value is not a {name}"))
    }

    fn check(&self, schema: &Value, value: &Value) -> Result<()> {
        let validator = self.validator(schema)?;
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{} {}", error.instance_path(), error.masked()))
            .collect();
        ensure!(errors.is_empty(), "{}: {value:#}", errors.join("; "));
        Ok(())
    }

    fn validator(&self, schema: &Value) -> Result<Arc<Validator>> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = validators.get(&schema.to_string()) {
            return Ok(known.clone());
        }
        // References start at the root, so the root contains the components.
        let whole = json!({ "components": self.root["components"], "allOf": [schema] });
        let options =
            jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).offline();
        let built = options.build(&whole).map_err(|error| anyhow!("invalid schema: {error}"))?;
        let validator = Arc::new(built);
        validators.insert(schema.to_string(), validator.clone());
        Ok(validator)
    }
}

impl<'a> Operation<'a> {
    pub fn responses(&self) -> Result<Vec<Response<'a>>> {
        let responses = entries(&self.node["responses"]).map(|(status, node)| {
            let status = status.parse().with_context(|| format!("{}: {status} is not a status", self.id))?;
            Ok(Response { document: self.document, status, node: self.document.resolve(node)? })
        });
        responses.collect()
    }

    /// The named examples of the request body.
    pub fn bodies(&self) -> Result<Vec<(&'a str, &'a Value)>> {
        examples(self.document, &self.node["requestBody"]["content"]["application/json"])
    }

    /// The headers of a request example (`x-headers`).
    pub fn headers(&self, name: &str) -> Vec<(String, String)> {
        let example = &self.node["requestBody"]["content"]["application/json"]["examples"][name];
        let headers = example["x-headers"].as_object().into_iter().flatten();
        headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// Checks a request body against its schema.
    pub fn check_body(&self, body: &Value) -> Result<()> {
        let schema = &self.node["requestBody"]["content"]["application/json"]["schema"];
        ensure!(!schema.is_null(), "{} has no request body", self.id);
        self.document.check(schema, body).with_context(|| format!("the request body of {}", self.id))
    }

    /// The examples of the parameters in `query`, `header` or `path`, by name.
    pub fn parameters(&self, kind: &str) -> Result<Vec<(&'a str, &'a Value)>> {
        let mut found = Vec::new();
        let lists =
            [&self.item["parameters"], &self.node["parameters"]].into_iter().filter_map(Value::as_array);
        for parameter in lists.flatten() {
            let parameter = self.document.resolve(parameter)?;
            let (Some(name), Some(example)) = (parameter["name"].as_str(), parameter.get("example")) else {
                bail!("a parameter of {} has no name or no example: {parameter}", self.id)
            };
            self.document
                .check(&parameter["schema"], example)
                .with_context(|| format!("the example of {name}"))?;
            if parameter["in"] == kind {
                found.push((name, example));
            }
        }
        Ok(found)
    }

    /// Checks status, headers and body of a response against the document.
    pub fn check(&self, reply: &TestResponse) -> Result<()> {
        let status = reply.status.as_u16();
        let documented = self.responses()?.into_iter().find(|response| response.status == status);
        let documented = documented.with_context(|| format!("{} documents no status {status}", self.id))?;
        documented.check(reply).with_context(|| format!("{status} of {}", self.id))
    }
}

impl<'a> Response<'a> {
    /// The named examples of the body.
    pub fn examples(&self) -> Result<Vec<(&'a str, &'a Value)>> {
        let mut all = Vec::new();
        for (_, content) in entries(&self.node["content"]) {
            all.extend(examples(self.document, content)?);
        }
        Ok(all)
    }

    /// The ids of the operations that its links name.
    pub fn links(&self) -> impl Iterator<Item = &'a str> {
        entries(&self.node["links"]).filter_map(|(_, link)| link["operationId"].as_str())
    }

    /// The status and the codes that its schema allows, if the response is a problem.
    pub fn problem(&self) -> Option<(&'a Value, Vec<&'a Value>)> {
        let schema = &self.node["content"]["application/problem+json"]["schema"];
        let own = schema["allOf"].as_array()?.iter().find(|part| part.get("properties").is_some())?;
        let (status, code) = (&own["properties"]["status"]["const"], &own["properties"]["code"]);
        let single = code.get("const").into_iter();
        Some((status, single.chain(code["enum"].as_array().into_iter().flatten()).collect()))
    }

    fn check(&self, reply: &TestResponse) -> Result<()> {
        for (name, header) in entries(&self.node["headers"]) {
            let header = self.document.resolve(header)?;
            check_header(self.document, name, header, &reply.headers)?;
        }
        let contents: Vec<_> = entries(&self.node["content"]).collect();
        if contents.is_empty() {
            ensure!(reply.body.is_null(), "expected no body, found {}", reply.body);
            return Ok(());
        }
        let sent = reply.headers.get("content-type").map(|value| value.to_str()).transpose()?;
        let sent = sent.unwrap_or_default();
        if sent == "text/event-stream; charset=utf-8" {
            let schema = &self.node["content"]["text/event-stream"]["schema"]["contentSchema"];
            ensure!(!schema.is_null(), "expected no stream");
            let events = reply.body.as_array().filter(|events| !events.is_empty());
            let events = events.context("the stream has no event")?;
            return events.iter().try_for_each(|event| self.document.check(schema, event));
        }
        let documented: Vec<&str> = contents.iter().map(|(media_type, _)| *media_type).collect();
        let found = contents.iter().find(|(media_type, _)| *media_type == sent);
        let (_, content) =
            found.with_context(|| format!("expected the media types {documented:?}, found {sent:?}"))?;
        self.document.check(&content["schema"], &reply.body)
    }
}

fn check_header(document: &Document, name: &str, documented: &Value, sent: &HeaderMap) -> Result<()> {
    let Some(value) = sent.get(name) else {
        ensure!(documented["required"] != true, "the header {name} is missing");
        return Ok(());
    };
    let text = value.to_str().with_context(|| format!("the header {name}"))?;
    let value = match documented["schema"]["type"].as_str() {
        Some("integer") => serde_json::from_str(text).with_context(|| format!("{name}: {text}"))?,
        _ => Value::from(text),
    };
    document.check(&documented["schema"], &value).with_context(|| format!("the header {name}"))
}

fn examples<'a>(document: &'a Document, content: &'a Value) -> Result<Vec<(&'a str, &'a Value)>> {
    let named = entries(&content["examples"]);
    let values = named.map(|(name, example)| {
        let value = document.resolve(example)?.get("value");
        Ok((name, value.with_context(|| format!("the example {name} has no value"))?))
    });
    values.collect()
}

fn entries(node: &Value) -> impl Iterator<Item = (&str, &Value)> {
    node.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}
