//! Mistakes in the environment: all of them at once, and what needs a variable that is wrong is skipped.

use anyhow::{Result, ensure};
use local_stack::LocalStack;

use super::{Fault, OF_THE_DATABASE, finds, found, report};

// TODO pub fn trials() -> Vec<Trial> {
// TODO     let with = |name: &str, value: &str| LocalStack::builder().env(name, value);
// TODO     let invalid =
// TODO         |name: &'static str| async move |stack: &LocalStack| variable(stack, "variable_invalid", name).await;
// TODO     let missing =
// TODO         |name: &'static str| async move |stack: &LocalStack| variable(stack, "variable_missing", name).await;
// TODO     let everything = EVERYTHING.iter().fold(LocalStack::builder(), |stack, (name, value)| stack.env(name, value));
// TODO     vec![
// TODO         finds("that SUPABASE_URL is missing", with("SUPABASE_URL", ""), missing("SUPABASE_URL")),
// TODO         finds(
// TODO             "that SUPABASE_URL is not https",
// TODO             with("SUPABASE_URL", "http://project.example.com"),
// TODO             invalid("SUPABASE_URL"),
// TODO         ),
// TODO         finds(
// TODO             "a secret key in the publishable key's place",
// TODO             with("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"),
// TODO             invalid("SUPABASE_PUBLISHABLE_KEY"),
// TODO         ),
// TODO         finds(
// TODO             "a publishable key in the secret key's place",
// TODO             with("SUPABASE_SECRET_KEY", "sb_publishable_c4n4ry"),
// TODO             invalid("SUPABASE_SECRET_KEY"),
// TODO         ),
// TODO         finds(
// TODO             "a legacy anon key in the secret key's place",
// TODO             with("SUPABASE_SECRET_KEY", &anon()),
// TODO             invalid("SUPABASE_SECRET_KEY"),
// TODO         ),
// TODO         finds(
// TODO             "that the secret key is missing",
// TODO             with("SUPABASE_SECRET_KEY", ""),
// TODO             missing("SUPABASE_SECRET_KEY"),
// TODO         ),
// TODO         finds(
// TODO             "that sealing keys are missing",
// TODO             with("CHATKIT_SEALING_KEYS", ""),
// TODO             missing("CHATKIT_SEALING_KEYS"),
// TODO         ),
// TODO         finds(
// TODO             "that the webhook's secret is short",
// TODO             with("DATABASE_WEBHOOK_SECRET", "c4n4ry"),
// TODO             invalid("DATABASE_WEBHOOK_SECRET"),
// TODO         ),
// TODO         finds("that an origin is none", with("CORS_ALLOWED_ORIGINS", "*"), invalid("CORS_ALLOWED_ORIGINS")),
// TODO         finds(
// TODO             "that a header is none",
// TODO             with("CORS_ALLOWED_HEADERS", "c 4n4ry"),
// TODO             invalid("CORS_ALLOWED_HEADERS"),
// TODO         ),
// TODO         finds(
// TODO             "that credentials are malformed",
// TODO             with("AGENT_CREDENTIALS", r#"{"a":{"origin":"http://a.example","bearer":"c4n4ry"}}"#),
// TODO             invalid("AGENT_CREDENTIALS"),
// TODO         ),
// TODO         finds("every mistake at once", everything, all_at_once),
// TODO     ]
// TODO }

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
