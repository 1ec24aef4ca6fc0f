//! PostgREST's decision about issued, forged and revoked tokens.

use anyhow::Result;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::{OldKey, OrgRole, Signer, User};
use uuid::Uuid;

#[tokio::test]
async fn postgrest_accepts_issued_tokens() -> Result<()> {
    let stack = LocalStack::start().await?;
    for signer in [Signer::Es256, Signer::Rs256, Signer::Hs256] {
        let token = stack.issuer().token_builder(&user()).signed_by(signer).sign();
        assert_eq!(status(&stack, &token).await?, 200, "{signer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn postgrest_rejects_forged_tokens() -> Result<()> {
    let stack = LocalStack::start().await?;
    let forge = || stack.issuer().token_builder(&user());
    let forged = [
        ("no signature", forge().signed_by(Signer::Unsigned).sign()),
        ("the public key as a secret", forge().signed_by(Signer::HmacWithPublicKey).sign()),
        ("another project's key", forge().signed_by(Signer::ForeignKey).sign()),
        ("an unknown key id", forge().signed_by(Signer::UnknownKey).sign()),
        ("tampered with", forge().tampered().sign()),
        ("expired", forge().expired(120).sign()),
        ("another algorithm's name", forge().header("alg", "RS256").sign()),
    ];
    for (case, token) in forged {
        assert_eq!(status(&stack, &token).await?, 401, "{case}");
    }
    Ok(())
}

#[tokio::test]
async fn key_rotation_invalidates_only_revoked_keys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let first = stack.issuer().token(&user());
    stack.rotate_keys(OldKey::StaysValid)?;
    let second = stack.issuer().token(&user());
    assert_eq!((status(&stack, &first).await?, status(&stack, &second).await?), (200, 200));
    stack.rotate_keys(OldKey::Revoked)?;
    let third = stack.issuer().token(&user());
    assert_eq!((status(&stack, &second).await?, status(&stack, &third).await?), (401, 200));
    assert_eq!(status(&stack, &first).await?, 200);
    Ok(())
}

async fn status(stack: &LocalStack, token: &str) -> Result<u16> {
    Ok(stack.rest(token, Method::GET, "/chat_sessions?select=id", None).await?.0.as_u16())
}

fn user() -> User {
    User::new(Uuid::new_v4(), OrgRole::Member)
}
