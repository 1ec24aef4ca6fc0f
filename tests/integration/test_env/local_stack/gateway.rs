//! Supabase's gateway: API keys, roles, JWKS, faults and the limit of rows.

use std::time::{Duration, Instant};

use anyhow::Result;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::http::client;
use local_stack::supabase::{Fault, OrgRole};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn api_key_and_token_select_the_role() -> Result<()> {
    let stack = LocalStack::start().await?;
    create_who_am_i(&stack).await?;
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
        ("legacy service without a token", &[("apikey", supabase.legacy_service_key())], "anon"),
    ];
    for (case, headers, expected) in rows {
        assert_eq!(role(&stack, headers).await?, (200, json!(expected)), "{case}");
    }
    let logged: Vec<_> =
        supabase.requests().into_iter().map(|entry| entry.role.unwrap_or_default()).collect();
    assert_eq!(logged, rows.iter().map(|(_, _, role)| *role).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn missing_or_unknown_api_key_returns_401() -> Result<()> {
    let stack = LocalStack::start().await?;
    create_who_am_i(&stack).await?;
    let supabase = stack.supabase();
    let service = format!("Bearer {}", supabase.legacy_service_key());
    let no_key = "No API key found in request";
    for headers in [&[][..], &[("authorization", service.as_str())], &[("apikey", "")]] {
        let (status, body) = role(&stack, headers).await?;
        assert_eq!((status, &body["message"]), (401, &json!(no_key)), "{headers:?}");
    }
    for key in ["sb_secret_of_another_project", "sb_publishable_", "eyJhbGciOiJIUzI1NiJ9.e30.x"] {
        let (status, body) = role(&stack, &[("apikey", key), ("authorization", &service)]).await?;
        assert_eq!((status, &body["message"]), (401, &json!("Invalid API key")), "{key}");
    }
    // A key is not a token.
    let secret = format!("Bearer {}", supabase.secret_key());
    for key in [supabase.secret_key(), supabase.publishable_key()] {
        let (status, body) = role(&stack, &[("apikey", key), ("authorization", &secret)]).await?;
        assert_eq!((status, &body["code"]), (401, &json!("PGRST301")), "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn forbidden_rpc_returns_403_with_token_and_401_without() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = stack.add_user(Uuid::new_v4(), OrgRole::Member).await?;
    let token = stack.issuer().token(&user);
    let call = async |key: &str| {
        stack.rest(key, Method::POST, "/rpc/cancel_session", Some(cancel_arguments())).await
    };
    let (status, body) = call(&token).await?;
    assert_eq!((status.as_u16(), &body["code"]), (403, &json!("42501")), "{body}");
    let (status, body) = call(stack.supabase().publishable_key()).await?;
    assert_eq!((status.as_u16(), &body["code"]), (401, &json!("42501")), "{body}");
    Ok(())
}

#[tokio::test]
async fn jwks_is_public_and_contains_no_private_key() -> Result<()> {
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

#[tokio::test]
async fn faults_apply_until_cleared() -> Result<()> {
    let stack = LocalStack::start().await?;
    let supabase = stack.supabase();
    let fetch = || client().get(format!("{}/auth/v1/.well-known/jwks.json", supabase.url())).send();
    assert_eq!(fetch().await?.status(), 200);
    supabase.set_fault(Fault::Down).await;
    assert!(fetch().await.is_err());
    supabase.set_fault(Fault::Unavailable).await;
    assert_eq!(fetch().await?.status(), 503);
    supabase.set_fault(Fault::Silent).await;
    assert!(tokio::time::timeout(Duration::from_millis(200), fetch()).await.is_err());
    supabase.set_fault(Fault::Delay(Duration::from_millis(200))).await;
    let started = Instant::now();
    assert_eq!(fetch().await?.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(200));
    supabase.set_fault(Fault::None).await;
    assert_eq!(fetch().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn postgrest_returns_at_most_max_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    let statement = "create table public.many (n int); grant select on public.many to service_role;
        insert into public.many select generate_series(1, 1200);";
    sqlx::raw_sql(statement).execute(stack.database()).await?;
    stack.supabase().reload_schema().await?;
    let key = stack.supabase().secret_key();
    let (status, rows) = stack.rest(key, Method::GET, "/many?select=n", None).await?;
    assert_eq!((status.as_u16(), rows.as_array().map(Vec::len)), (200, Some(100)), "{rows}");
    Ok(())
}

/// The status and the role of a request with these headers.
async fn role(stack: &LocalStack, headers: &[(&str, &str)]) -> Result<(u16, Value)> {
    let mut request =
        client().post(format!("{}/rest/v1/rpc/who_am_i", stack.supabase().url())).json(&json!({}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

/// Creates an RPC that returns the role.
async fn create_who_am_i(stack: &LocalStack) -> Result<()> {
    let statement =
        "create function public.who_am_i() returns text language sql as 'select current_user::text';
        grant execute on function public.who_am_i() to anon, authenticated, service_role;";
    sqlx::raw_sql(statement).execute(stack.database()).await?;
    stack.supabase().reload_schema().await
}

fn cancel_arguments() -> Value {
    json!({ "p_org_id": Uuid::new_v4(), "p_user_id": Uuid::new_v4(), "p_session_id": Uuid::new_v4() })
}
