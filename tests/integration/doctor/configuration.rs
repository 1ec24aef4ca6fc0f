//! Faults of the environment: the doctor reports all of them, and skips the checks that need a
//! variable that is missing or invalid.

use anyhow::{Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use local_stack::LocalStack;
use serde_json::json;
use uuid::Uuid;

use super::{
    DATABASE_CHECKS, ExpectedFault, execute, expect_faults, expect_report, run_doctor, start, with_env,
};

#[tokio::test]
async fn missing_supabase_url_is_reported() -> Result<()> {
    expect_missing("SUPABASE_URL").await
}

#[tokio::test]
async fn supabase_url_without_https_is_reported() -> Result<()> {
    expect_invalid("SUPABASE_URL", "http://project.example.com").await
}

#[tokio::test]
async fn secret_key_as_publishable_key_is_reported() -> Result<()> {
    expect_invalid("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry").await
}

#[tokio::test]
async fn publishable_key_as_secret_key_is_reported() -> Result<()> {
    expect_invalid("SUPABASE_SECRET_KEY", "sb_publishable_c4n4ry").await
}

#[tokio::test]
async fn legacy_anon_key_as_secret_key_is_reported() -> Result<()> {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let payload = URL_SAFE_NO_PAD.encode(r#"{"iss":"supabase","role":"anon"}"#);
    expect_invalid("SUPABASE_SECRET_KEY", &format!("{header}.{payload}.c4n4ry")).await
}

#[tokio::test]
async fn missing_secret_key_is_reported() -> Result<()> {
    expect_missing("SUPABASE_SECRET_KEY").await
}

#[tokio::test]
async fn missing_sealing_keys_are_reported() -> Result<()> {
    expect_missing("CHATKIT_SEALING_KEYS").await
}

#[tokio::test]
async fn short_webhook_secret_is_reported() -> Result<()> {
    expect_invalid("DATABASE_WEBHOOK_SECRET", "c4n4ry").await
}

#[tokio::test]
async fn invalid_cors_origin_is_reported() -> Result<()> {
    expect_invalid("CORS_ALLOWED_ORIGINS", "*").await
}

#[tokio::test]
async fn invalid_cors_header_is_reported() -> Result<()> {
    expect_invalid("CORS_ALLOWED_HEADERS", "c 4n4ry").await
}

#[tokio::test]
async fn malformed_agent_credentials_are_reported() -> Result<()> {
    let credentials = r#"{"a":{"origin":"http://a.example","bearer":"c4n4ry"}}"#;
    expect_invalid("AGENT_CREDENTIALS", credentials).await
}

/// The sessions of a self-hosted agent need the chat's URL.
#[tokio::test]
async fn self_hosted_agent_without_the_url_of_the_chat_is_reported() -> Result<()> {
    let stack = start(with_env("CHATKIT_API_URL", "")).await?;
    expect_faults(&stack, &[], &[]).await?;
    for agent in ["a_chat", "b_chat"] {
        stack.register_self_hosted_agent(Uuid::new_v4(), agent, json!({})).await?;
    }
    let fault = ("configuration", "chatkit_api_url_missing", "a_chat and 1 more");
    let report = expect_report(&stack, &[fault], &[]).await?;
    ensure!(report["findings"][0]["about"] == "CHATKIT_API_URL", "{report:#}");
    execute(&stack, "update public.agents set enabled = false where provider = 'self_hosted'").await?;
    expect_faults(&stack, &[], &[]).await
}

#[tokio::test]
async fn missing_key_of_the_model_is_reported() -> Result<()> {
    expect_missing("MODEL_API_KEY").await
}

#[tokio::test]
async fn all_faults_are_reported_at_once() -> Result<()> {
    let builder =
        FAULTY.iter().fold(LocalStack::builder(), |builder, (name, value)| builder.env(name, value));
    let stack = start(builder).await?;
    let fault = |(name, value): &(&'static str, &str)| -> ExpectedFault<'static> {
        ("configuration", if value.is_empty() { "variable_missing" } else { "variable_invalid" }, name)
    };
    let mut skipped = checks_that_need("SUPABASE_URL");
    skipped.push("chatkit");
    expect_faults(&stack, &FAULTY.iter().map(fault).collect::<Vec<_>>(), &skipped).await?;
    let output = format!("{}{}", run_doctor(&stack).await?, stack.final_logs().await.join("\n"));
    ensure!(!output.contains("c4n4ry"), "the report or the log contains a value");
    Ok(())
}

const FAULTY: [(&str, &str); 17] = [
    ("SUPABASE_URL", "https://postgres:c4n4ry@db.example.com"),
    ("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"),
    ("SUPABASE_SECRET_KEY", ""),
    ("OPENAI_CHATKIT_SECRET", "sk-c4n4ry\u{1}"),
    ("OPENAI_CHATKIT_PROJECT", "sk-proj-c4n4ry"),
    ("OPENAI_CHATKIT_BASE_URL", "http://c4n4ry.example.com/v1"),
    ("CHATKIT_API_URL", "http://c4n4ry.example.com/chatkit"),
    ("CHATKIT_DOMAIN_KEY", ""),
    ("MODEL_BASE_URL", "http://c4n4ry.example.com/v1"),
    ("MODEL_API_KEY", ""),
    ("CHATKIT_SEALING_KEYS", "k1:c4n4ry"),
    ("CORS_ALLOWED_ORIGINS", "c4n4ry"),
    ("CORS_ALLOWED_HEADERS", "c 4n4ry"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "c4n4ry,,c4n4ry"),
    ("REQUIRE_AAL2_TO_DECIDE", "c4n4ry"),
    ("DATABASE_WEBHOOK_SECRET", "c4n4ry"),
    ("AGENT_CREDENTIALS", "c4n4ry"),
];

async fn expect_missing(name: &str) -> Result<()> {
    expect_configuration_fault("variable_missing", name, "").await
}

async fn expect_invalid(name: &str, value: &str) -> Result<()> {
    expect_configuration_fault("variable_invalid", name, value).await
}

async fn expect_configuration_fault(code: &str, name: &str, value: &str) -> Result<()> {
    let stack = start(with_env(name, value)).await?;
    let report = expect_report(&stack, &[("configuration", code, name)], &checks_that_need(name)).await?;
    ensure!(!report.to_string().contains("c4n4ry"), "the report contains the value: {report}");
    Ok(())
}

fn checks_that_need(variable: &str) -> Vec<&'static str> {
    let database_checks = DATABASE_CHECKS.iter().copied();
    match variable {
        "SUPABASE_URL" => ["supabase", "publishable_key", "secret_key", "jwks", "issuer"]
            .into_iter()
            .chain(database_checks)
            .collect(),
        "SUPABASE_SECRET_KEY" => std::iter::once("secret_key").chain(database_checks).collect(),
        "SUPABASE_PUBLISHABLE_KEY" => vec!["publishable_key"],
        "CHATKIT_SEALING_KEYS" => vec!["sealing_keys"],
        "AGENT_CREDENTIALS" => vec!["agent_server"],
        _ => Vec::new(),
    }
}
