//! The API keys of a project, and how the gateway authorizes a request.
//!
//! The gateway reads only the `apikey` header or query parameter. A publishable key makes a request
//! anonymous, a secret key makes it `service_role`, unless `Authorization` has a user's token.
//! Legacy keys are JWTs: the gateway only recognises them, and PostgREST takes the role from
//! `Authorization`.

use anyhow::Result;

use super::issuer::{Issuer, random_string};

#[derive(Clone)]
pub struct ApiKeys {
    /// `sb_publishable_…`, which browsers may hold.
    pub publishable: String,
    /// `sb_secret_…`, for servers.
    pub secret: String,
    /// The legacy `anon` key.
    pub legacy_anon: String,
    /// The legacy `service_role` key.
    pub legacy_service: String,
}

/// The `Authorization` header that the gateway passes on.
#[derive(Debug, PartialEq)]
pub enum Authorization {
    /// The caller's header, or none.
    Unchanged,
    /// A token of this role.
    Role(&'static str),
}

/// Why the gateway rejects a request before PostgREST.
#[derive(Debug, PartialEq)]
pub enum KeyRejection {
    /// The request has no API key.
    NoKey,
    /// The API key is not of this project.
    WrongKey,
}

impl ApiKeys {
    /// Generates new keys. The issuer's legacy secret signs the legacy keys.
    pub fn generate(issuer: &Issuer) -> Result<Self> {
        let new_style = |kind: &str| -> Result<String> {
            Ok(format!("sb_{kind}_{}_{}", random_string(22)?, random_string(8)?))
        };
        Ok(Self {
            publishable: new_style("publishable")?,
            secret: new_style("secret")?,
            legacy_anon: issuer.legacy_key("anon"),
            legacy_service: issuer.legacy_key("service_role"),
        })
    }

    /// Authorizes a request by its key and its `Authorization` header.
    pub fn authorize(
        &self,
        key: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<Authorization, KeyRejection> {
        let key = key.filter(|key| !key.is_empty()).ok_or(KeyRejection::NoKey)?;
        // A token in `Authorization` determines the role. A key there is not a token: PostgREST
        // rejects it.
        let role_or_unchanged =
            |role| if authorization.is_some() { Authorization::Unchanged } else { Authorization::Role(role) };
        if key == self.publishable {
            Ok(role_or_unchanged("anon"))
        } else if key == self.secret {
            Ok(role_or_unchanged("service_role"))
        } else if key == self.legacy_anon || key == self.legacy_service {
            Ok(Authorization::Unchanged)
        } else {
            Err(KeyRejection::WrongKey)
        }
    }
}

impl KeyRejection {
    /// The body of the 401.
    pub fn body(&self) -> serde_json::Value {
        match self {
            KeyRejection::NoKey => serde_json::json!({
                "message": "No API key found in request",
                "hint": "No `apikey` request header or url param was found."
            }),
            KeyRejection::WrongKey => serde_json::json!({
                "message": "Invalid API key",
                "hint": "Double check your Supabase `anon` or `service_role` API key."
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> ApiKeys {
        ApiKeys {
            publishable: "sb_publishable_x".into(),
            secret: "sb_secret_x".into(),
            legacy_anon: "eyJ.anon.x".into(),
            legacy_service: "eyJ.service.x".into(),
        }
    }

    #[test]
    fn new_keys_determine_the_role_unless_a_token_is_sent() {
        let keys = keys();
        assert_eq!(keys.authorize(Some("sb_publishable_x"), None), Ok(Authorization::Role("anon")));
        assert_eq!(keys.authorize(Some("sb_secret_x"), None), Ok(Authorization::Role("service_role")));
        assert_eq!(
            keys.authorize(Some("sb_publishable_x"), Some("Bearer eyJ.user.x")),
            Ok(Authorization::Unchanged)
        );
    }

    #[test]
    fn legacy_keys_leave_authorization_unchanged() {
        assert_eq!(keys().authorize(Some("eyJ.service.x"), None), Ok(Authorization::Unchanged));
    }

    #[test]
    fn unknown_and_missing_keys_are_rejected() {
        let keys = keys();
        assert_eq!(keys.authorize(None, Some("Bearer eyJ.service.x")), Err(KeyRejection::NoKey));
        assert_eq!(keys.authorize(Some(""), None), Err(KeyRejection::NoKey));
        assert_eq!(keys.authorize(Some("sb_secret_y"), None), Err(KeyRejection::WrongKey));
        assert_eq!(
            keys.authorize(Some("eyJ.other.x"), Some("Bearer eyJ.other.x")),
            Err(KeyRejection::WrongKey)
        );
    }
}
