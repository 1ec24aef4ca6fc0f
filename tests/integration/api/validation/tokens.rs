//! Tokens that let nobody in: neither where something would be written nor where something would be read.

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::supabase::{Forge, Signer};
use serde_json::{Value, json};

use super::request_builder::{Ask, agents, cancel, messages, open, read, record, sessions};
use super::{Row, refused_to, row};
use crate::support::client::{AGENT, TestClient};

/// Status and code.
type Answer = (u16, &'static str);

const MISSING: Answer = (401, "missing_token");
const INVALID: Answer = (401, "invalid_token");
const EXPIRED: Answer = (401, "expired_token");
const ANONYMOUS: Answer = (403, "anonymous_user");
const NOWHERE: Answer = (403, "no_organisation");

// NAME: bad inputs: tokens, where something would be written
/// With the service's key nothing but our own check stands between a token and the tables.
#[tokio::test]
async fn writing() -> Result<()> {
    let stack = LocalStack::start().await?;
    each(&stack, &open(format!(r#"{{"agentId":"{AGENT}"}}"#))).await
}

// NAME: bad inputs: tokens, where something would be read
#[tokio::test]
async fn reading() -> Result<()> {
    let stack = LocalStack::start().await?;
    each(&stack, &sessions("")).await
}

/// A token is asked for before anything else of a request is looked at.
pub fn of_every_function() -> Vec<Row> {
    let (status, code) = MISSING;
    let each = [
        agents(),
        sessions("?limit=x"),
        read().id("7"),
        messages("?cursor=x"),
        open("{"),
        record("["),
        cancel().id("7"),
    ];
    each.map(|ask| row(ask.function, ask.clone().nameless(), status, code, &[])).into()
}

async fn each(stack: &LocalStack, ask: &Ask) -> Result<()> {
    let caller = TestClient::new(stack).await?;
    let mut rows = headers(ask, &caller.token);
    let forged = [signatures(stack, &caller), claims(stack, &caller), organisations(stack, &caller)];
    rows.extend(
        forged.into_iter().flatten().map(|(name, forge, (status, code))| {
            row(name, ask.clone().token(&forge.sign()), status, code, &[])
        }),
    );
    refused_to(stack, &caller, rows).await
}

fn headers(ask: &Ask, token: &str) -> Vec<Row> {
    let with = |name: &str, header: &str, (status, code): Answer| {
        row(name, ask.clone().authorization(header), status, code, &[])
    };
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { return Vec::new() };
    vec![
        row("no header", ask.clone().nameless(), MISSING.0, MISSING.1, &[]),
        with("a scheme without a token", "Bearer", MISSING),
        with("a scheme and spaces", "Bearer   ", MISSING),
        with("another scheme", "Basic dXNlcjpwYXNzd29yZA==", MISSING),
        with("a token without a scheme", token, MISSING),
        with("a scheme that begins alike", &format!("Bearers {token}"), MISSING),
        row(
            "bytes that are no text",
            ask.clone().authorization(*b"Bearer \xff\xfe"),
            MISSING.0,
            MISSING.1,
            &[],
        ),
        with("a word", "Bearer token", INVALID),
        with("an API key", "Bearer sb_secret_x", INVALID),
        with("two tokens", &format!("Bearer {token},Bearer {token}"), INVALID),
        with("a part too few", &format!("Bearer {head}.{claims}"), INVALID),
        with("a part too many", &format!("Bearer {token}.x"), INVALID),
        with("no signature", &format!("Bearer {head}.{claims}."), INVALID),
        with("half a signature", &format!("Bearer {head}.{claims}.{}", &signature[..43]), INVALID),
        with("padding", &format!("Bearer {token}=="), INVALID),
    ]
}

type Forged<'w> = (&'static str, Forge<'w>, Answer);

fn signatures<'w>(stack: &'w LocalStack, caller: &TestClient) -> Vec<Forged<'w>> {
    let by = |signer| stack.issuer().forge(&caller.user).signed_by(signer);
    let good = || stack.issuer().forge(&caller.user);
    vec![
        ("alg: none", by(Signer::Nobody), INVALID),
        ("alg: none in other letters", by(Signer::Nobody).header("alg", "nOnE"), INVALID),
        ("HS256 signed with the public key", by(Signer::HmacWithPublicKey), INVALID),
        (
            "HS256 signed with the public key, as RS256",
            by(Signer::HmacWithPublicKey).header("alg", "RS256"),
            INVALID,
        ),
        ("HS256 where no secret is configured", by(Signer::Hs256), INVALID),
        ("HS256 under the id of a key", by(Signer::Hs256).header("kid", "x"), INVALID),
        ("a stranger's key under the id of ours", by(Signer::Stranger), INVALID),
        ("a stranger's key under an id of its own", by(Signer::UnknownKey), INVALID),
        ("no key's id", good().header("kid", Value::Null), INVALID),
        ("a key's id that is a number", good().header("kid", 1), INVALID),
        ("another algorithm than the key's", good().header("alg", "RS256"), INVALID),
        ("an algorithm that nobody has", good().header("alg", "ES257"), INVALID),
        ("an extension that must be understood", good().header("crit", json!(["exp"])), INVALID),
        ("changed after it was signed", good().tampered(), INVALID),
    ]
}

fn claims<'w>(stack: &'w LocalStack, caller: &TestClient) -> Vec<Forged<'w>> {
    let good = || stack.issuer().forge(&caller.user);
    let later = jiff::Timestamp::now().as_second() + 300;
    vec![
        ("expired a second ago", good().expired(1), EXPIRED),
        ("expired long ago", good().expired(86_400), EXPIRED),
        ("for ever", good().without("exp"), INVALID),
        ("an end that is a text", good().claim("exp", "tomorrow"), INVALID),
        ("not yet valid", good().claim("nbf", later), INVALID),
        ("another audience", good().claim("aud", "somebody_else"), INVALID),
        ("no audience", good().without("aud"), INVALID),
        ("an audience of nobody", good().claim("aud", json!([])), INVALID),
        ("another issuer", good().claim("iss", "https://elsewhere.supabase.co/auth/v1"), INVALID),
        (
            "an issuer that begins alike",
            good().claim("iss", format!("{}.example.com", stack.issuer().url())),
            INVALID,
        ),
        ("no issuer", good().without("iss"), INVALID),
        ("no user", good().without("sub"), INVALID),
        ("a user that is no id", good().claim("sub", "somebody"), INVALID),
        ("no role", good().without("role"), INVALID),
        ("the role anon", good().claim("role", "anon"), INVALID),
        ("the role service_role", good().claim("role", "service_role"), INVALID),
        ("the role of the database's owner", good().claim("role", "postgres"), INVALID),
        ("an anonymous sign-in", good().claim("is_anonymous", true), ANONYMOUS),
    ]
}

fn organisations<'w>(stack: &'w LocalStack, caller: &TestClient) -> Vec<Forged<'w>> {
    let good = || stack.issuer().forge(&caller.user);
    let with = |organisation: Value| {
        good().claim("app_metadata", json!({ "org_id": organisation, "org_role": "owner" }))
    };
    let id = caller.user.org_id;
    vec![
        ("no metadata at all", good().without("app_metadata"), NOWHERE),
        ("metadata that is null", good().claim("app_metadata", Value::Null), NOWHERE),
        ("no organisation", good().claim("app_metadata", json!({ "provider": "email" })), NOWHERE),
        ("an organisation that is null", with(Value::Null), NOWHERE),
        ("an organisation that is a number", with(json!(7)), NOWHERE),
        ("an organisation that is no id", with(json!("acme")), NOWHERE),
        ("an organisation with a filter behind it", with(json!(format!("{id},org_id.neq.{id}"))), NOWHERE),
        ("an organisation without hyphens", with(json!(id.simple())), NOWHERE),
        ("a list of organisations", with(json!([id])), NOWHERE),
        (
            "an organisation that the user wrote",
            good()
                .claim("app_metadata", json!({}))
                .claim("user_metadata", json!({ "org_id": id, "org_role": "owner" })),
            NOWHERE,
        ),
        (
            "an organisation beside the metadata",
            good().claim("app_metadata", json!({})).claim("org_id", json!(id)),
            NOWHERE,
        ),
    ]
}
