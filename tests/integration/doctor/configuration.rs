//! Mistakes in the environment: all of them at once, and what needs a variable that is wrong is skipped.

use anyhow::{Result, ensure};
use local_stack::Builder;
use local_stack::LocalStack;

use super::{Fault, OF_THE_DATABASE, finds, found, report};

fn with(name: &str, value: &str) -> Builder {
    LocalStack::builder().env(name, value)
}

async fn invalid(stack: &LocalStack, name: &'static str) -> Result<()> {
    variable(stack, "variable_invalid", name).await
}

async fn missing(stack: &LocalStack, name: &'static str) -> Result<()> {
    variable(stack, "variable_missing", name).await
}

fn everything() -> Builder {
    EVERYTHING.iter().fold(LocalStack::builder(), |builder, (name, value)| builder.env(name, value))
}

// NAME: doctor: it finds that SUPABASE_URL is missing
#[tokio::test]
async fn finds_that_supabase_url_is_missing() -> Result<()> {
    finds(with("SUPABASE_URL", ""), async |stack: &LocalStack| missing(stack, "SUPABASE_URL").await).await
}

// NAME: doctor: it finds that SUPABASE_URL is not https
#[tokio::test]
async fn finds_that_supabase_url_is_not_https() -> Result<()> {
    finds(with("SUPABASE_URL", "http://project.example.com"), async |stack: &LocalStack| {
        invalid(stack, "SUPABASE_URL").await
    })
    .await
}

// NAME: doctor: it finds a secret key in the publishable key's place
#[tokio::test]
async fn finds_a_secret_key_in_the_publishable_keys_place() -> Result<()> {
    finds(with("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"), async |stack: &LocalStack| {
        invalid(stack, "SUPABASE_PUBLISHABLE_KEY").await
    })
    .await
}

// NAME: doctor: it finds a publishable key in the secret key's place
#[tokio::test]
async fn finds_a_publishable_key_in_the_secret_keys_place() -> Result<()> {
    finds(with("SUPABASE_SECRET_KEY", "sb_publishable_c4n4ry"), async |stack: &LocalStack| {
        invalid(stack, "SUPABASE_SECRET_KEY").await
    })
    .await
}

// NAME: doctor: it finds a legacy anon key in the secret key's place
#[tokio::test]
async fn finds_a_legacy_anon_key_in_the_secret_keys_place() -> Result<()> {
    finds(with("SUPABASE_SECRET_KEY", &anon()), async |stack: &LocalStack| {
        invalid(stack, "SUPABASE_SECRET_KEY").await
    })
    .await
}

// NAME: doctor: it finds that the secret key is missing
#[tokio::test]
async fn finds_that_the_secret_key_is_missing() -> Result<()> {
    finds(with("SUPABASE_SECRET_KEY", ""), async |stack: &LocalStack| {
        missing(stack, "SUPABASE_SECRET_KEY").await
    })
    .await
}

// NAME: doctor: it finds that sealing keys are missing
#[tokio::test]
async fn finds_that_sealing_keys_are_missing() -> Result<()> {
    finds(with("CHATKIT_SEALING_KEYS", ""), async |stack: &LocalStack| {
        missing(stack, "CHATKIT_SEALING_KEYS").await
    })
    .await
}

// NAME: doctor: it finds that the webhook's secret is short
#[tokio::test]
async fn finds_that_the_webhooks_secret_is_short() -> Result<()> {
    finds(with("DATABASE_WEBHOOK_SECRET", "c4n4ry"), async |stack: &LocalStack| {
        invalid(stack, "DATABASE_WEBHOOK_SECRET").await
    })
    .await
}

// NAME: doctor: it finds that an origin is none
#[tokio::test]
async fn finds_that_an_origin_is_none() -> Result<()> {
    finds(with("CORS_ALLOWED_ORIGINS", "*"), async |stack: &LocalStack| {
        invalid(stack, "CORS_ALLOWED_ORIGINS").await
    })
    .await
}

// NAME: doctor: it finds that a header is none
#[tokio::test]
async fn finds_that_a_header_is_none() -> Result<()> {
    finds(with("CORS_ALLOWED_HEADERS", "c 4n4ry"), async |stack: &LocalStack| {
        invalid(stack, "CORS_ALLOWED_HEADERS").await
    })
    .await
}

// NAME: doctor: it finds that credentials are malformed
#[tokio::test]
async fn finds_that_credentials_are_malformed() -> Result<()> {
    finds(
        with("AGENT_CREDENTIALS", r#"{"a":{"origin":"http://a.example","bearer":"c4n4ry"}}"#),
        async |stack: &LocalStack| invalid(stack, "AGENT_CREDENTIALS").await,
    )
    .await
}

// NAME: doctor: it finds every mistake at once
#[tokio::test]
async fn finds_every_mistake_at_once() -> Result<()> {
    finds(everything(), all_at_once).await
}

/// A token like a project's `anon` key.
fn anon() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.c4n4ry",
        part(r#"{"alg":"HS256","typ":"JWT"}"#),
        part(r#"{"iss":"supabase","role":"anon"}"#)
    )
}

/// What is not looked at for want of a variable.
fn without(name: &str) -> Vec<&'static str> {
    let of_the_database = OF_THE_DATABASE.iter().copied();
    match name {
        "SUPABASE_URL" => ["supabase", "publishable_key", "secret_key", "jwks", "issuer"]
            .into_iter()
            .chain(of_the_database)
            .collect(),
        "SUPABASE_SECRET_KEY" => std::iter::once("secret_key").chain(of_the_database).collect(),
        "SUPABASE_PUBLISHABLE_KEY" => vec!["publishable_key"],
        "CHATKIT_SEALING_KEYS" => vec!["sealing_keys"],
        "AGENT_CREDENTIALS" => vec!["agent_server"],
        _ => Vec::new(),
    }
}

async fn variable(stack: &LocalStack, code: &str, name: &str) -> Result<()> {
    let report = found(stack, &[("configuration", code, name)], &without(name)).await?;
    ensure!(!report.to_string().contains("c4n4ry"), "a value is shown: {report}");
    Ok(())
}

const EVERYTHING: [(&str, &str); 13] = [
    ("SUPABASE_URL", "https://postgres:c4n4ry@db.example.com"),
    ("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"),
    ("SUPABASE_SECRET_KEY", ""),
    ("OPENAI_CHATKIT_SECRET", "sk-c4n4ry\u{1}"),
    ("OPENAI_CHATKIT_PROJECT", "sk-proj-c4n4ry"),
    ("OPENAI_CHATKIT_BASE_URL", "http://c4n4ry.example.com/v1"),
    ("CHATKIT_SEALING_KEYS", "k1:c4n4ry"),
    ("CORS_ALLOWED_ORIGINS", "c4n4ry"),
    ("CORS_ALLOWED_HEADERS", "c 4n4ry"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "c4n4ry,,c4n4ry"),
    ("REQUIRE_AAL2_TO_DECIDE", "c4n4ry"),
    ("DATABASE_WEBHOOK_SECRET", "c4n4ry"),
    ("AGENT_CREDENTIALS", "c4n4ry"),
];

async fn all_at_once(stack: &LocalStack) -> Result<()> {
    let fault = |(name, value): &(&'static str, &str)| -> Fault<'static> {
        ("configuration", if value.is_empty() { "variable_missing" } else { "variable_invalid" }, name)
    };
    let mut skipped = without("SUPABASE_URL");
    skipped.push("chatkit");
    found(stack, &EVERYTHING.iter().map(fault).collect::<Vec<_>>(), &skipped).await?;
    let said = format!("{}{}", report(stack).await?, stack.final_logs().await.join("\n"));
    ensure!(!said.contains("c4n4ry"), "a value is shown");
    Ok(())
}
