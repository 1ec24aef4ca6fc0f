//! The variables of a deployed function, for other commands of operators.

use std::{collections::BTreeMap, time::Duration};

use shared::platform::http_client::{Deadline, HttpClient};

use crate::{
    aws::{Aws, Reason, Unanswered},
    secrets::SecretReference,
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Reads the variables of a function of a stack, by the function's logical id in the template. A
/// value that names a secret is replaced by the secret.
///
/// # Errors
/// Returns a message without values of variables.
pub async fn function_variables(
    http: HttpClient,
    stack: &str,
    region: Option<String>,
    function: &str,
) -> Result<BTreeMap<String, String>, String> {
    let aws = Aws::connect(http, region, Deadline::after(TIMEOUT)).await?;
    let describe = |unanswered: Unanswered| describe(&unanswered, stack);
    aws.describe_stack(stack).await.map_err(describe)?;
    let resources = aws.stack_resources(stack).await.map_err(describe)?;
    let resource = resources.iter().find(|resource| resource.id == function);
    let resource =
        resource.ok_or_else(|| format!("The stack {stack} does not have the function {function}."))?;
    let configuration = aws.function(&resource.physical_id).await.map_err(describe)?.configuration;
    let given = configuration["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
    let mut variables = BTreeMap::new();
    for (name, value) in given {
        let value = value.as_str().unwrap_or_default().to_owned();
        let value = match SecretReference::parse(&value) {
            Some(reference) => read_secret(&aws, &reference).await.map_err(describe)?,
            None => Some(value),
        };
        let value =
            value.ok_or_else(|| format!("The secret of {name} does not have the member that it names."))?;
        variables.insert(name, value);
    }
    Ok(variables)
}

async fn read_secret(aws: &Aws, reference: &SecretReference) -> Result<Option<String>, Unanswered> {
    let secret = aws.secret(&reference.secret_id).await?;
    Ok(reference.part_of(&secret).map(|part| part.expose().to_owned()))
}

fn describe(unanswered: &Unanswered, stack: &str) -> String {
    let action = unanswered.action;
    match &unanswered.reason {
        Reason::Missing if action == "cloudformation:DescribeStacks" => {
            format!("There is no stack {stack} in this account and region. Check --stack and --region.")
        }
        Reason::Missing => format!("{action}: AWS does not have the resource."),
        Reason::Denied => format!("The AWS credentials do not permit {action}."),
        Reason::CredentialsRejected => "AWS rejects the credentials. Sign in again.".to_owned(),
        Reason::Failed(cause) => format!("{action}: {cause}"),
    }
}
