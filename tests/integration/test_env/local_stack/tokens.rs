//! The tokens the issuer makes are accepted by PostgREST, and the forged ones are not.

use anyhow::Result;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::{OldKey, OrgRole, Signer, User};
use uuid::Uuid;

async fn status(stack: &LocalStack, token: &str) -> Result<u16> {
    Ok(stack.rest(token, Method::GET, "/chat_sessions?select=id", None).await?.0.as_u16())
}

fn user() -> User {
    User::new(Uuid::new_v4(), OrgRole::Member)
}

// NAME: tokens: PostgREST takes what the issuer signs
#[tokio::test]
async fn good_ones_pass() -> Result<()> {
    let stack = LocalStack::start().await?;
    for signer in [Signer::Es256, Signer::Rs256, Signer::Hs256] {
        let token = stack.issuer().forge(&user()).signed_by(signer).sign();
        assert_eq!(status(&stack, &token).await?, 200, "{signer:?}");
    }
    Ok(())
}

// NAME: tokens: PostgREST refuses what anybody else signs
#[tokio::test]
async fn bad_ones_do_not() -> Result<()> {
    let stack = LocalStack::start().await?;
    let forge = || stack.issuer().forge(&user());
    let bad = [
        ("no signature", forge().signed_by(Signer::Nobody).sign()),
        ("the public key as a secret", forge().signed_by(Signer::HmacWithPublicKey).sign()),
        ("somebody else's key", forge().signed_by(Signer::Stranger).sign()),
        ("an unknown key", forge().signed_by(Signer::UnknownKey).sign()),
        ("tampered with", forge().tampered().sign()),
        ("expired", forge().expired(120).sign()),
        ("another algorithm's name", forge().header("alg", "RS256").sign()),
    ];
    for (what, token) in bad {
        assert_eq!(status(&stack, &token).await?, 401, "{what}");
    }
    Ok(())
}

// NAME: tokens: a rotation ends a revoked key and spares one that stays
#[tokio::test]
async fn rotation() -> Result<()> {
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
