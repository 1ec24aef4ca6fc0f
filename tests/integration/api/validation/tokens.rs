//! Invalid tokens, at a function that writes and at one that reads.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{Signer, TokenBuilder};
use serde_json::{Value, json};

use super::test_request::{
    TestRequest, cancel_session, claim_escalation, create_session, get_escalation, get_session, list_agents,
    list_changes, list_events, list_messages, list_sessions, record_events, release_escalation,
    stop_response,
};
use super::{Row, expect_rejected_for, row};
use crate::support::client::{AGENT, TestClient};

/// Status and code.
type Problem = (u16, &'static str);

const MISSING: Problem = (401, "missing_token");
const INVALID: Problem = (401, "invalid_token");
const EXPIRED: Problem = (401, "expired_token");
const ANONYMOUS: Problem = (403, "anonymous_user");
const NO_ORGANISATION: Problem = (403, "no_organisation");

/// The function writes with the secret key, so row policies do not apply to it.
#[tokio::test]
async fn invalid_tokens_are_rejected_by_create_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_tokens_rejected(&stack, &create_session(format!(r#"{{"agentId":"{AGENT}"}}"#))).await
}

#[tokio::test]
async fn invalid_tokens_are_rejected_by_list_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_tokens_rejected(&stack, &list_sessions("")).await
}

/// PostgREST, which checks the same token, has a leeway of 30 seconds.
#[tokio::test]
async fn token_is_accepted_within_exp_and_up_to_30_seconds_before_nbf() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let in_seconds = |seconds: i64| json!(jiff::Timestamp::now().as_second() + seconds);
    // A bound is exact in the tests of the verifier. Here some seconds may pass.
    for (name, claim, seconds, rejection) in [
        ("long valid", "nbf", -86_400, None),
        ("valid since a second", "nbf", -1, None),
        ("valid in 25 seconds", "nbf", 25, None),
        ("valid in 45 seconds", "nbf", 45, Some(INVALID)),
        ("valid in 5 minutes", "nbf", 300, Some(INVALID)),
        ("expires in 20 seconds", "exp", 20, None),
        ("expired 2 seconds ago", "exp", -2, Some(EXPIRED)),
        ("expired 25 seconds ago", "exp", -25, Some(EXPIRED)),
    ] {
        let token = stack.issuer().token_builder(&caller.user).claim(claim, in_seconds(seconds));
        let caller = caller.with_token(token.sign());
        let written = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await.context(name)?;
        let read = caller.get("/chatkit/sessions").await.context(name)?;
        for response in [written, read] {
            match rejection {
                None => ensure!(response.status.is_success(), "{name}: {response:?}"),
                Some((status, code)) => drop(response.problem(status, code).context(name)?),
            }
        }
    }
    Ok(())
}

/// Requests without a token, with another error that is checked later.
pub fn rows_without_token() -> Vec<Row> {
    let (status, code) = MISSING;
    let requests = [
        list_agents(),
        list_sessions("?limit=x"),
        get_session().session_id("7"),
        list_messages("?cursor=x"),
        list_events("?cursor=x"),
        list_changes("?since=x"),
        get_escalation().escalation_id("7"),
        claim_escalation().json(r#"{"seconds":1}"#),
        release_escalation().escalation_id("7"),
        create_session("{"),
        record_events("["),
        cancel_session().session_id("7"),
        stop_response().session_id("7"),
    ];
    requests.map(|request| row(request.function, request.clone().without_token(), status, code, &[])).into()
}

async fn expect_tokens_rejected(stack: &LocalStack, request: &TestRequest) -> Result<()> {
    let caller = TestClient::new(stack).await?;
    let mut rows = headers(request, &caller.token);
    let forged = [signatures(stack, &caller), claims(stack, &caller), organisations(stack, &caller)];
    rows.extend(forged.into_iter().flatten().map(|(name, forge, (status, code))| {
        row(name, request.clone().token(&forge.sign()), status, code, &[])
    }));
    expect_rejected_for(stack, &caller, rows).await
}

fn headers(request: &TestRequest, token: &str) -> Vec<Row> {
    let with = |name: &str, header: &str, (status, code): Problem| {
        row(name, request.clone().authorization(header), status, code, &[])
    };
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("expected a token of three parts, found {token}")
    };
    vec![
        row("no header", request.clone().without_token(), MISSING.0, MISSING.1, &[]),
        with("a scheme without a token", "Bearer", MISSING),
        with("a scheme and spaces", "Bearer   ", MISSING),
        with("another scheme", "Basic dXNlcjpwYXNzd29yZA==", MISSING),
        with("a token without a scheme", token, MISSING),
        with("a scheme with the same prefix", &format!("Bearers {token}"), MISSING),
        row(
            "bytes that are not UTF-8",
            request.clone().authorization(*b"Bearer \xff\xfe"),
            MISSING.0,
            MISSING.1,
            &[],
        ),
        with("a word", "Bearer token", INVALID),
        with("an API key", "Bearer sb_secret_x", INVALID),
        with("two tokens", &format!("Bearer {token},Bearer {token}"), INVALID),
        with("a missing part", &format!("Bearer {head}.{claims}"), INVALID),
        with("an additional part", &format!("Bearer {token}.x"), INVALID),
        with("no signature", &format!("Bearer {head}.{claims}."), INVALID),
        with("half a signature", &format!("Bearer {head}.{claims}.{}", &signature[..43]), INVALID),
        with("padding", &format!("Bearer {token}=="), INVALID),
    ]
}

type Forged<'a> = (&'static str, TokenBuilder<'a>, Problem);

fn signatures<'a>(stack: &'a LocalStack, caller: &TestClient) -> Vec<Forged<'a>> {
    let signed_by = |signer| stack.issuer().token_builder(&caller.user).signed_by(signer);
    let valid = || stack.issuer().token_builder(&caller.user);
    vec![
        ("alg: none", signed_by(Signer::Unsigned), INVALID),
        ("alg: none in mixed case", signed_by(Signer::Unsigned).header("alg", "nOnE"), INVALID),
        ("HS256 signed with the public key", signed_by(Signer::HmacWithPublicKey), INVALID),
        (
            "HS256 signed with the public key, as RS256",
            signed_by(Signer::HmacWithPublicKey).header("alg", "RS256"),
            INVALID,
        ),
        ("HS256 where no secret is configured", signed_by(Signer::Hs256), INVALID),
        ("HS256 with the id of a key", signed_by(Signer::Hs256).header("kid", "x"), INVALID),
        ("a foreign key with the id of a known one", signed_by(Signer::ForeignKey), INVALID),
        ("a foreign key with an unknown id", signed_by(Signer::UnknownKey), INVALID),
        ("no key id", valid().header("kid", Value::Null), INVALID),
        ("a key id that is a number", valid().header("kid", 1), INVALID),
        ("an algorithm that differs from the key's", valid().header("alg", "RS256"), INVALID),
        ("an unknown algorithm", valid().header("alg", "ES257"), INVALID),
        ("a critical extension", valid().header("crit", json!(["exp"])), INVALID),
        ("changed after the signature", valid().tampered(), INVALID),
    ]
}

fn claims<'a>(stack: &'a LocalStack, caller: &TestClient) -> Vec<Forged<'a>> {
    let valid = || stack.issuer().token_builder(&caller.user);
    let later = jiff::Timestamp::now().as_second() + 300;
    vec![
        ("expired a second ago", valid().expired(1), EXPIRED),
        ("expired long ago", valid().expired(86_400), EXPIRED),
        ("no expiry", valid().without("exp"), INVALID),
        ("an expiry that is a string", valid().claim("exp", "tomorrow"), INVALID),
        ("not yet valid", valid().claim("nbf", later), INVALID),
        ("another audience", valid().claim("aud", "another"), INVALID),
        ("no audience", valid().without("aud"), INVALID),
        ("an empty audience", valid().claim("aud", json!([])), INVALID),
        ("another issuer", valid().claim("iss", "https://elsewhere.supabase.co/auth/v1"), INVALID),
        (
            "an issuer with the same prefix",
            valid().claim("iss", format!("{}.example.com", stack.issuer().url())),
            INVALID,
        ),
        ("no issuer", valid().without("iss"), INVALID),
        ("no subject", valid().without("sub"), INVALID),
        ("a subject that is not a UUID", valid().claim("sub", "a-user"), INVALID),
        ("no role", valid().without("role"), INVALID),
        ("the role anon", valid().claim("role", "anon"), INVALID),
        ("the role service_role", valid().claim("role", "service_role"), INVALID),
        ("the role of the owner of the database", valid().claim("role", "postgres"), INVALID),
        ("an anonymous sign-in", valid().claim("is_anonymous", true), ANONYMOUS),
    ]
}

fn organisations<'a>(stack: &'a LocalStack, caller: &TestClient) -> Vec<Forged<'a>> {
    let valid = || stack.issuer().token_builder(&caller.user);
    let with = |organisation: Value| {
        valid().claim("app_metadata", json!({ "org_id": organisation, "org_role": "owner" }))
    };
    let id = caller.user.org_id;
    vec![
        ("no metadata", valid().without("app_metadata"), NO_ORGANISATION),
        ("metadata that is null", valid().claim("app_metadata", Value::Null), NO_ORGANISATION),
        ("no organisation", valid().claim("app_metadata", json!({ "provider": "email" })), NO_ORGANISATION),
        ("an organisation that is null", with(Value::Null), NO_ORGANISATION),
        ("an organisation that is a number", with(json!(7)), NO_ORGANISATION),
        ("an organisation that is not a UUID", with(json!("acme")), NO_ORGANISATION),
        (
            "an organisation followed by a filter",
            with(json!(format!("{id},org_id.neq.{id}"))),
            NO_ORGANISATION,
        ),
        ("an organisation without hyphens", with(json!(id.simple())), NO_ORGANISATION),
        ("a list of organisations", with(json!([id])), NO_ORGANISATION),
        (
            "an organisation in the user's own metadata",
            valid()
                .claim("app_metadata", json!({}))
                .claim("user_metadata", json!({ "org_id": id, "org_role": "owner" })),
            NO_ORGANISATION,
        ),
        (
            "an organisation outside the metadata",
            valid().claim("app_metadata", json!({})).claim("org_id", json!(id)),
            NO_ORGANISATION,
        ),
    ]
}
