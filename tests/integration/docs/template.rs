//! Deployment of the functions by `template.yaml`: names, roles, logs, URLs and concurrency.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::project_files::{ensure_same, read_text};
use crate::support::template::{Function, Template};

/// Lambda's limit for all variables of a function, in bytes. Names count as well.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const MAX_ENVIRONMENT: usize = 4096;

/// A secret of the functions, and the policy that permits to fetch it at run time.
struct SecretOfTemplate {
    variable: &'static str,
    parameter: &'static str,
    /// The condition under which the secret exists; `None` if it always does.
    exists: Option<&'static str>,
    policy: &'static str,
    /// The condition of the policy.
    condition: &'static str,
}

const fn secret(
    variable: &'static str,
    parameter: &'static str,
    exists: Option<&'static str>,
    policy: &'static str,
    condition: &'static str,
) -> SecretOfTemplate {
    SecretOfTemplate { variable, parameter, exists, policy, condition }
}

/// In the order in which roles name the policies.
#[rustfmt::skip]
const SECRETS: [SecretOfTemplate; 7] = [
    secret("SUPABASE_SECRET_KEY", "SupabaseSecretKeyName", None, "ReadSupabaseSecretKey", "FetchesSecrets"),
    secret("SUPABASE_JWT_SECRET", "SupabaseJwtSecretName", Some("HasJwtSecret"), "ReadJwtSecret", "FetchesJwtSecret"),
    secret("OPENAI_CHATKIT_SECRET", "ChatkitSecretName", Some("HasChatkit"), "ReadChatkitSecret", "FetchesChatkitSecret"),
    secret("CHATKIT_SEALING_KEYS", "SealingKeysName", Some("HasSealingKeys"), "ReadSealingKeys", "FetchesSealingKeys"),
    secret("MODEL_API_KEY", "ModelApiKeyName", Some("HasModelApiKey"), "ReadModelApiKey", "FetchesModelApiKey"),
    secret("DATABASE_WEBHOOK_SECRET", "WebhookSecretName", None, "ReadWebhookSecret", "FetchesSecrets"),
    secret("AGENT_CREDENTIALS", "AgentCredentialsName", Some("HasAgentCredentials"), "ReadAgentCredentials", "FetchesAgentCredentials"),
];

/// The parameter `Secrets` decides whether a variable holds a secret or a reference to it, and
/// whether the functions may read exactly that secret.
#[tokio::test]
async fn secrets_are_copied_or_fetched_with_minimal_permissions() -> Result<()> {
    let template = Template::read()?;
    for SecretOfTemplate { variable, parameter, exists, policy, condition } in SECRETS {
        let value = json!([
            "FetchesSecrets",
            format!("secretsmanager:${{{parameter}}}"),
            format!("{{{{resolve:secretsmanager:${{{parameter}}}:SecretString}}}}"),
        ]);
        let value = match exists {
            Some(exists) => json!([exists, value, "AWS::NoValue"]),
            None => value,
        };
        for function in template.functions()? {
            let given = template.environment(&function).remove(variable);
            let is_expected = given.as_ref().is_none_or(|given| *given == value);
            ensure!(is_expected, "{variable} of {} is {given:?}", function.id);
        }
        let resource = &template.0["Resources"][policy];
        ensure!(
            resource["Type"] == "AWS::IAM::ManagedPolicy" && resource["Condition"] == condition,
            "{policy} is {resource}"
        );
        let conditions = &template.0["Conditions"][condition];
        let expected = match exists {
            Some(exists) => json!(["FetchesSecrets", exists]),
            None => json!(["Secrets", "runtime"]),
        };
        ensure!(*conditions == expected, "{condition} is {conditions}");
        let arn = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:";
        let mut statements = vec![json!({
            "Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
            "Resource": format!("{arn}${{{parameter}}}-??????"),
        })];
        if variable == "AGENT_CREDENTIALS" {
            let nested = json!({
                "Effect": "Allow", "Action": ["secretsmanager:GetSecretValue", "ssm:GetParameter"],
                "Resource": "AgentSecretArns",
            });
            statements.push(json!(["HasAgentSecrets", nested, "AWS::NoValue"]));
        }
        let decrypt = json!({ "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "KmsKeyArn" });
        statements.push(json!(["HasKmsKey", decrypt, "AWS::NoValue"]));
        let granted = &resource["Properties"]["PolicyDocument"]["Statement"];
        ensure!(*granted == json!(statements), "{policy} grants {granted}");
    }
    Ok(())
}

#[tokio::test]
async fn ten_agent_credentials_fit_into_every_environment() -> Result<()> {
    let page = read_text("docs/reference/configuration.md")?;
    ensure!(page.contains("About ten credentials fit"), "the page states another number");
    let credential = |number| {
        let origin = format!("https://agents-of-department-{number}.example.com");
        (format!("credential_{number}"), json!({ "origin": origin, "bearer": "x".repeat(64) }))
    };
    let credentials = (10..20).map(credential).collect::<serde_json::Map<_, _>>();
    let template = Template::read()?;
    let mut with_credentials = 0;
    for function in template.functions()? {
        let names = template.environment(&function);
        let size = |name: &String| {
            let value = match name.as_str() {
                "AGENT_CREDENTIALS" => json!(credentials).to_string().len(),
                // Legacy keys of Supabase, which are the longest, and a project key of OpenAI.
                "SUPABASE_SECRET_KEY" | "SUPABASE_PUBLISHABLE_KEY" => 220,
                "OPENAI_CHATKIT_SECRET" => 170,
                // Two keys, while one replaces the other.
                "CHATKIT_SEALING_KEYS" => 120,
                _ => 64,
            };
            name.len() + value
        };
        let size: usize = names.keys().map(size).sum();
        ensure!(size <= MAX_ENVIRONMENT, "{} has {size} bytes of variables", function.id);
        with_credentials += usize::from(names.contains_key("AGENT_CREDENTIALS"));
    }
    ensure!(with_credentials == 3, "{with_credentials} functions have credentials");
    Ok(())
}

#[tokio::test]
async fn functions_are_deployed_alike_with_minimal_permissions() -> Result<()> {
    let template = Template::read()?;
    let resources = &template.0["Resources"];
    let mut expected = BTreeSet::from(["HttpApi", "ChatApi", "ChatApiPermission"].map(str::to_owned));
    expected.extend(SECRETS.iter().map(|secret| secret.policy.to_owned()));
    let mut outputs = BTreeSet::from(["ApiUrl", "ChatApiUrl", "DashboardUrl"].map(str::to_owned));
    for function in template.functions()? {
        let Function { id, package, properties } = &function;
        let (id, package) = (*id, *package);
        ensure!(id == pascal(package), "the function {package} has the id {id}, not {}", pascal(package));
        let (role, logs) = (format!("{id}Role"), format!("{id}Logs"));
        ensure!(
            properties["Role"] == format!("{role}.Arn"),
            "the role of {id} is {}, not {role}",
            properties["Role"]
        );
        ensure!(
            properties["LoggingConfig"] == json!({ "LogGroup": logs }),
            "the logs of {id} are not in {logs}"
        );
        let log_name = format!("/aws/lambda/${{AWS::StackName}}-{package}");
        ensure!(resources[&logs]["Properties"]["LogGroupName"] == log_name, "{logs} is not named {log_name}");
        ensure!(
            resources[&logs]["Properties"]["RetentionInDays"] == "LogRetentionDays",
            "{logs} is not deleted after LogRetentionDays"
        );
        if function.is_scheduled() {
            let queue = format!("{id}DeadLetters");
            let permissions = with_policy(
                permissions(&logs, &template.environment(&function)),
                "report-rounds-that-failed",
                ("sqs:SendMessage", &format!("{queue}.Arn")),
            );
            ensure!(
                resources[&role]["Properties"] == permissions,
                "{role} has other permissions than expected"
            );
            // Requests to a URL would use the concurrency that is reserved for its runs.
            ensure!(properties["FunctionUrlConfig"].is_null(), "the scheduled function {id} has a URL");
            expected.extend([id.to_owned(), role, logs, queue, format!("{id}TickRole")]);
            outputs.insert(format!("{id}DeadLettersUrl"));
            continue;
        }
        let mut permissions = permissions(&logs, &template.environment(&function));
        if function.is_webhook() {
            let invocation = ("lambda:InvokeFunction", "RouteEvents.Arn");
            permissions = with_policy(permissions, "start-runs", invocation);
        }
        ensure!(resources[&role]["Properties"] == permissions, "{role} has other permissions than expected");
        if function.is_operated() {
            // Only IAM controls who invokes it.
            ensure!(properties["FunctionUrlConfig"].is_null(), "the operators' function {id} has a URL");
            expected.extend([id.to_owned(), role, logs]);
            continue;
        }
        let url_config = if function.is_streaming() {
            json!({ "AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM" })
        } else {
            json!({ "AuthType": "NONE" })
        };
        ensure!(properties["FunctionUrlConfig"] == url_config, "{id} has no public URL");
        let output = format!("{id}Url");
        let url = &template.0["Outputs"][&output];
        ensure!(url["Value"] == format!("{output}.FunctionUrl"), "the output {output} is {}", url["Value"]);
        ensure!(
            url["Description"].as_str().is_some_and(|text| text.contains(package)),
            "{output} does not name {package}: {url}"
        );
        expected.extend([id.to_owned(), role, logs]);
        outputs.insert(output);
    }
    let names = |of: &Value| -> BTreeSet<String> {
        // `observability` tests the alarms and the dashboard.
        let all = of.as_object().into_iter().flatten();
        let others =
            all.filter(|(_, of)| !of["Type"].as_str().unwrap_or_default().contains("::CloudWatch::"));
        others.map(|(name, _)| name.clone()).collect()
    };
    ensure_same(("template.yaml's resources", &names(resources)), ("its functions", &expected))?;
    ensure_same(("template.yaml's outputs", &names(&template.0["Outputs"])), ("its functions", &outputs))
}

/// A turn takes up to 840 seconds, and a stream cannot be longer than 15 minutes.
#[tokio::test]
async fn streaming_functions_outlast_the_longest_turn() -> Result<()> {
    let template = Template::read()?;
    let migration = read_text("migrations/20261127000200_agents.sql")?;
    let (_, range) = migration.split_once("max_turn_seconds between 5 and ").context("no range of a turn")?;
    let longest: u64 = range.split(')').next().unwrap_or_default().parse()?;
    let streaming = template.functions()?.into_iter().filter(Function::is_streaming);
    let streaming: Vec<(&str, u64)> = streaming
        .map(|function| (function.id, function.properties["Timeout"].as_u64().unwrap_or_default()))
        .collect();
    ensure!(!streaming.is_empty(), "no function streams");
    for (id, timeout) in streaming {
        ensure!(timeout >= longest + 30, "{id} ends after {timeout} s, and a turn after {longest} s");
        ensure!(timeout <= 900, "{id} has a timeout above Lambda's maximum: {timeout} s");
    }
    let integration = &template.0["Resources"]["ChatApi"]["Properties"]["DefinitionBody"]["paths"]["/chatkit"]
        ["post"]["x-amazon-apigateway-integration"];
    ensure!(integration["timeoutInMillis"] == 900_000, "the REST API ends streams early: {integration}");
    Ok(())
}

/// The REST API and its permission exist only on request.
#[tokio::test]
async fn rest_api_is_optional_and_limited_to_its_path() -> Result<()> {
    let template = Template::read()?;
    let resources = &template.0["Resources"];
    for (kind, node) in [
        ("ChatApi", &resources["ChatApi"]),
        ("ChatApiPermission", &resources["ChatApiPermission"]),
        ("ChatApiUrl", &template.0["Outputs"]["ChatApiUrl"]),
    ] {
        ensure!(node["Condition"] == "HasChatRestApi", "{kind} has the condition {}", node["Condition"]);
    }
    let parameter = &template.0["Parameters"]["ChatRestApi"];
    ensure!(parameter["Default"] == "false", "the REST API exists by default: {parameter}");
    let permission = &resources["ChatApiPermission"]["Properties"];
    ensure!(permission["FunctionName"] == "ServeChatkit", "another function: {permission}");
    let source = permission["SourceArn"].as_str().unwrap_or_default();
    ensure!(source.ends_with(":${ChatApi}/*/*/chatkit"), "a wider permission: {source}");
    Ok(())
}

#[tokio::test]
async fn background_functions_reserve_optional_concurrency() -> Result<()> {
    let template = Template::read()?;
    let mut taken = 0;
    for function in template.functions()? {
        let reserved = &function.properties["ReservedConcurrentExecutions"];
        if function.is_scheduled() || function.is_webhook() {
            let number =
                reserved[1].as_u64().with_context(|| format!("{} reserves no concurrency", function.id))?;
            ensure!(*reserved == json!(["ReservesConcurrency", number, "AWS::NoValue"]), "{reserved}");
            taken += number;
        } else {
            ensure!(reserved.is_null(), "{} reserves concurrency: {reserved}", function.id);
        }
    }
    let description =
        template.0["Parameters"]["ReserveConcurrency"]["Description"].as_str().unwrap_or_default();
    ensure!(
        description.contains(&format!(" takes {taken},")),
        "the functions reserve {taken}: {description}"
    );
    Ok(())
}

/// The minimal permissions: writing its log, and reading the secrets in its environment.
fn permissions(logs: &str, environment: &BTreeMap<String, Value>) -> Value {
    let read = SECRETS.iter().filter(|secret| environment.contains_key(secret.variable));
    let policies: Vec<Value> =
        read.map(|secret| json!([secret.condition, secret.policy, "AWS::NoValue"])).collect();
    json!({
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" }
            ],
        },
        "ManagedPolicyArns": policies,
        "Policies": [{
            "PolicyName": "write-its-own-log",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": format!("{logs}.Arn"),
                }],
            },
        }],
    })
}

/// Adds a policy with one action on one resource.
fn with_policy(mut permissions: Value, name: &str, (action, resource): (&str, &str)) -> Value {
    if let Some(policies) = permissions["Policies"].as_array_mut() {
        policies.push(json!({
            "PolicyName": name,
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }],
            },
        }));
    }
    permissions
}

/// The logical id of a package: `CreateSession` for `create-session`.
fn pascal(package: &str) -> String {
    let words = package.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    });
    words.flatten().collect()
}
