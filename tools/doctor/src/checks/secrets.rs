//! The secrets that the template names: whether they exist, have the form of their variables, and
//! are what the functions have. No finding has a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::Arc,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use shared::{
    doctor::{Check, CheckResult, Doctor, FaultCode},
    platform::{
        config::Environment,
        http_client::HttpClient,
        secret::Secret,
        secret_store::{FetchError, FetchedSecret, SecretId, SecretSource},
    },
    runtime::Dependencies,
};

use super::findings::Findings;
use crate::{
    aws::Function,
    deployment::Deployment,
    secrets::SecretReference,
    template::{Resource, to_text},
};

/// AWS Secrets Manager's code for a secret that is scheduled for deletion.
const DELETED_CODE: &str = "InvalidRequestException";

/// The source of secrets that another secret refers to, for example the bearer of an agent's
/// server. Functions fetch them when they need them.
struct NotFetched;

impl SecretSource for NotFetched {
    fn fetch<'a>(&'a self, _: &'a SecretId, _: bool) -> BoxFuture<'a, Result<FetchedSecret, FetchError>> {
        let error = FetchError { store: "the doctor", cause: "not fetched".to_owned() };
        Box::pin(ready(Err(error)))
    }
}

/// A variable of a function that names a secret.
struct Use<'a> {
    function: &'a str,
    variable: String,
    reference: SecretReference,
}

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Secret);
    let functions = deployment.template.resources("AWS::Lambda::Function");
    let uses: Vec<Use<'_>> = functions.iter().flat_map(uses).collect();
    let invalid = invalid_variables(deployment, &functions);
    for (id, answer) in &deployment.secrets {
        let uses: Vec<&Use<'_>> = uses.iter().filter(|one| one.reference.secret_id == *id).collect();
        let secret = match answer {
            Ok(secret) => secret,
            Err(unanswered) if unanswered.has_code(DELETED_CODE) => {
                findings.fault(FaultCode::SecretDeleted, id, "");
                continue;
            }
            Err(unanswered) => {
                findings.unanswered(unanswered, FaultCode::SecretMissing, id);
                continue;
            }
        };
        let rejected = uses.iter().find_map(|one| Some((&one.variable, invalid.get(&one.variable)?)));
        if let Some((variable, reason)) = rejected {
            findings.fault(FaultCode::SecretInvalid, id, format!("{variable} {reason}"));
            continue;
        }
        let outdated = uses.iter().filter(|one| is_outdated(deployment, one, secret));
        let outdated: BTreeSet<&str> = outdated.map(|one| one.function).collect();
        if let Some(first) = outdated.first() {
            let more =
                if outdated.len() > 1 { format!(" and {} more", outdated.len() - 1) } else { String::new() };
            findings.fault(FaultCode::SecretOutdated, id, format!("in {first}{more}"));
        }
    }
    findings.finish(format!("{} secrets", deployment.secrets.len()))
}

/// Returns whether a function has another value than one of its secrets.
pub fn has_outdated(deployment: &Deployment, resource: &Resource<'_>) -> bool {
    uses(resource).iter().any(|one| {
        let secret = deployment.secrets.get(&one.reference.secret_id);
        secret.is_some_and(|secret| secret.as_ref().is_ok_and(|secret| is_outdated(deployment, one, secret)))
    })
}

fn uses<'a>(resource: &Resource<'a>) -> Vec<Use<'a>> {
    let variables = resource.properties["Environment"]["Variables"].as_object().into_iter().flatten();
    let read = |(name, value): (&String, &serde_json::Value)| {
        let reference = SecretReference::parse(value.as_str()?)?;
        Some(Use { function: resource.id, variable: name.clone(), reference })
    };
    variables.filter_map(read).collect()
}

fn is_outdated(deployment: &Deployment, one: &Use<'_>, secret: &Secret) -> bool {
    let variables = deployment.function(one.function).and_then(Function::variables).unwrap_or_default();
    let actual = variables.get(&one.variable).map(|value| value.trim()).unwrap_or_default();
    let expected = one.reference.part_of(secret);
    // A variable that is not set is a finding about the environment.
    one.reference.is_copied
        && !actual.is_empty()
        && expected.is_some_and(|expected| expected.expose().trim() != actual)
}

/// Returns the variables whose secret does not have their form, with the reason. The functions' own
/// parsers read them, from an environment as the next deployment would make it.
fn invalid_variables(deployment: &Deployment, functions: &[Resource<'_>]) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, Secret> = BTreeMap::new();
    let mut without_part = BTreeMap::new();
    for function in functions {
        let variables = function.properties["Environment"]["Variables"].as_object().into_iter().flatten();
        for (name, value) in variables {
            let text = to_text(value);
            let value = match SecretReference::parse(&text) {
                None => Some(Secret::new(text)),
                Some(reference) => match deployment.secrets.get(&reference.secret_id) {
                    Some(Ok(secret)) => {
                        let part = reference.part_of(secret);
                        if part.is_none() {
                            without_part.insert(name.clone(), "is not a member of the secret".to_owned());
                        }
                        part
                    }
                    _ => None,
                },
            };
            environment.extend(value.map(|value| (name.clone(), value)));
        }
    }
    let Ok(http) = HttpClient::new() else { return without_part };
    let environment =
        Environment::new(move |name| environment.get(name).map(|value| value.expose().to_owned()));
    // It does not wait, because `NotFetched` answers at once.
    let Some(environment) = environment.with_secrets_of(Arc::new(NotFetched)).now_or_never() else {
        return without_part;
    };
    let doctor = Doctor::new(&mut Dependencies::new(environment, http));
    let mistakes = doctor.mistakes().map(|mistakes| mistakes.0).unwrap_or_default();
    let mistakes = mistakes.into_iter().map(|mistake| (mistake.variable.to_owned(), mistake.reason));
    mistakes.chain(without_part).collect()
}
