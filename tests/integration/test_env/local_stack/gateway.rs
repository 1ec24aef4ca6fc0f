//! Keys are judged as Supabase's gateway judges them.

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::http::client;
use local_stack::supabase::{Fault, OrgRole};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// The role that a request with these headers runs as.
async fn role(stack: &LocalStack, headers: &[(&str, &str)]) -> Result<(u16, Value)> {
    let mut request =
        client().post(format!("{}/rest/v1/rpc/who_am_i", stack.supabase().url())).json(&json!({}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

async fn who_am_i(stack: &LocalStack) -> Result<()> {
    let statement =
        "create function public.who_am_i() returns text language sql as 'select current_user::text';
        grant execute on function public.who_am_i() to anon, authenticated, service_role;";
    sqlx::raw_sql(statement).execute(stack.database()).await?;
    stack.supabase().reload_schema().await
}

// NAME: gateway: keys and tokens become roles
#[tokio::test]
async fn keys_and_tokens_become_roles() -> Result<()> {
    let stack = LocalStack::start().await?;
    who_am_i(&stack).await?;
    let supabase = stack.supabase();
    let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
    let bearer = |token: &str| format!("Bearer {token}");
    let token = bearer(&stack.issuer().token(&user));
    let (anon, service) = (bearer(supabase.legacy_anon_key()), bearer(supabase.legacy_service_key()));
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let rows: &[Row] = &[
        ("publishable", &[("apikey", supabase.publishable_key())], "anon"),
        ("secret", &[("apikey", supabase.secret_key())], "service_role"),
        (
            "publishable and user",
            &[("apikey", supabase.publishable_key()), ("authorization", &token)],
            "authenticated",
        ),
        ("secret and user", &[("apikey", supabase.secret_key()), ("authorization", &token)], "authenticated"),
        ("legacy anon", &[("apikey", supabase.legacy_anon_key()), ("authorization", &anon)], "anon"),
        (
            "legacy service",
            &[("apikey", supabase.legacy_service_key()), ("authorization", &service)],
            "service_role",
        ),
        (
            "legacy anon and user",
            &[("apikey", supabase.legacy_anon_key()), ("authorization", &token)],
            "authenticated",
        ),
        ("legacy service, half", &[("apikey", supabase.legacy_service_key())], "anon"),
    ];
    for (what, headers, expected) in rows {
        assert_eq!(role(&stack, headers).await?, (200, json!(expected)), "{what}");
    }
    let noted: Vec<_> = supabase.requests().into_iter().map(|entry| entry.role.unwrap_or_default()).collect();
    assert_eq!(noted, rows.iter().map(|(_, _, role)| *role).collect::<Vec<_>>());
    Ok(())
}

// NAME: gateway: without a key of the project nothing passes
#[tokio::test]
async fn without_a_key_nothing_passes() -> Result<()> {
    let stack = LocalStack::start().await?;
    who_am_i(&stack).await?;
    let supabase = stack.supabase();
    let service = format!("Bearer {}", supabase.legacy_service_key());
    let none = "No API key found in request";
    for headers in [&[][..], &[("authorization", service.as_str())], &[("apikey", "")]] {
        let (status, body) = role(&stack, headers).await?;
        assert_eq!((status, &body["message"]), (401, &json!(none)), "{headers:?}");
    }
    for key in ["sb_secret_of_another_project", "sb_publishable_", "eyJhbGciOiJIUzI1NiJ9.e30.x"] {
        let (status, body) = role(&stack, &[("apikey", key), ("authorization", &service)]).await?;
        assert_eq!((status, &body["message"]), (401, &json!("Invalid API key")), "{key}");
    }
    // A key is no token.
    let secret = format!("Bearer {}", supabase.secret_key());
    for key in [supabase.secret_key(), supabase.publishable_key()] {
        let (status, body) = role(&stack, &[("apikey", key), ("authorization", &secret)]).await?;
        assert_eq!((status, &body["code"]), (401, &json!("PGRST301")), "{body}");
    }
    Ok(())
}

// NAME: gateway: who is signed in is forbidden, who is not is unauthorised
#[tokio::test]
async fn forbidden_or_unauthorised() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
    let token = stack.issuer().token(&user);
    let call = async |key: &str| {
        stack.rest(key, http_client::Method::POST, "/rpc/cancel_session", Some(arguments())).await
    };
    let arguments = call(&token).await?;
    assert_eq!((arguments.0.as_u16(), &arguments.1["code"]), (403, &json!("42501")), "{}", arguments.1);
    let anonymous = call(stack.supabase().publishable_key()).await?;
    assert_eq!((anonymous.0.as_u16(), &anonymous.1["code"]), (401, &json!("42501")), "{}", anonymous.1);
    Ok(())
}

fn arguments() -> Value {
    json!({ "p_org_id": Uuid::new_v4(), "p_user_id": Uuid::new_v4(), "p_session_id": Uuid::new_v4() })
}

// NAME: gateway: the JWKS needs no key and shows no private one
#[tokio::test]
async fn jwks_is_open() -> Result<()> {
    let stack = LocalStack::start().await?;
    let url = format!("{}/auth/v1/.well-known/jwks.json", stack.supabase().url());
    let jwks: Value = client().get(url).send().await?.error_for_status()?.json().await?;
    let keys = jwks["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let algorithms: Vec<_> = keys.iter().filter_map(|key| key["alg"].as_str()).collect();
    assert_eq!(algorithms, ["ES256", "RS256"]);
    for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        assert!(keys.iter().all(|key| key.get(private).is_none()), "{private} in {jwks}");
    }
    Ok(())
}

// NAME: gateway: it goes down, is slow, and comes back
#[tokio::test]
async fn faults() -> Result<()> {
    let stack = LocalStack::start().await?;
    let supabase = stack.supabase();
    let ask = || client().get(format!("{}/auth/v1/.well-known/jwks.json", supabase.url())).send();
    assert_eq!(ask().await?.status(), 200);
    supabase.fault(Fault::Down).await;
    assert!(ask().await.is_err());
    supabase.fault(Fault::Unavailable).await;
    assert_eq!(ask().await?.status(), 503);
    supabase.fault(Fault::Silent).await;
    assert!(tokio::time::timeout(Duration::from_millis(200), ask()).await.is_err());
    supabase.fault(Fault::Delay(Duration::from_millis(200))).await;
    let started = std::time::Instant::now();
    assert_eq!(ask().await?.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(200));
    supabase.fault(Fault::None).await;
    assert_eq!(ask().await?.status(), 200);
    Ok(())
}

// NAME: postgrest: an answer has no more rows than the project allows
#[tokio::test]
async fn at_most_max_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    let statement = "create table public.many (n int); grant select on public.many to service_role;
        insert into public.many select generate_series(1, 1200);";
    sqlx::raw_sql(statement).execute(stack.database()).await?;
    stack.supabase().reload_schema().await?;
    let key = stack.supabase().secret_key();
    let (status, rows) = stack.rest(key, http_client::Method::GET, "/many?select=n", None).await?;
    assert_eq!((status.as_u16(), rows.as_array().map(Vec::len)), (200, Some(100)), "{rows}");
    Ok(())
}
