//! The keys of a project, and what a request that shows one is worth.
//!
//! Supabase's gateway looks at the `apikey` header (or query parameter) alone. A publishable key makes a request
//! anonymous and a secret key makes it `service_role`, unless a user's token comes along in `Authorization`. Legacy
//! keys are tokens themselves: the gateway only recognises them, and PostgREST takes the role from `Authorization`.

use anyhow::Result;

use super::issuer::{Issuer, random_text};

/// Every key of a project.
#[derive(Clone)]
pub struct ApiKeys {
    /// `sb_publishable_…`, which browsers may hold.
    pub publishable: String,
    /// `sb_secret_…`, for servers.
    pub secret: String,
    /// The `anon` key of older projects.
    pub legacy_anon: String,
    /// The `service_role` key of older projects.
    pub legacy_service: String,
}

/// What the gateway passes on in `Authorization`.
#[derive(Debug, PartialEq)]
pub enum Pass {
    /// What the caller sent, or nothing where nothing came.
    Unchanged,
    /// The role that the new-style key stands for.
    Role(&'static str),
}

/// Why the gateway itself refuses a request. PostgREST never sees it.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// Neither header nor query parameter.
    NoKey,
    /// Not a key of this project.
    WrongKey,
}

impl ApiKeys {
    /// New keys. The legacy ones are signed with the issuer's legacy secret.
    pub fn generate(issuer: &Issuer) -> Result<Self> {
        let new_style = |kind: &str| -> Result<String> {
            Ok(format!("sb_{kind}_{}_{}", random_text(22)?, random_text(8)?))
        };
        Ok(Self {
            publishable: new_style("publishable")?,
            secret: new_style("secret")?,
            legacy_anon: issuer.legacy_key("anon"),
            legacy_service: issuer.legacy_key("service_role"),
        })
    }

    /// Decides by the key and the `Authorization` header.
    pub fn judge(&self, key: Option<&str>, authorization: Option<&str>) -> Result<Pass, Refusal> {
        let key = key.filter(|key| !key.is_empty()).ok_or(Refusal::NoKey)?;
        // With a token of its own, the caller is who the token says. A key in `Authorization` is no token: that is passed on
        // too, and refused by PostgREST.
        let or_unchanged = |role| if authorization.is_some() { Pass::Unchanged } else { Pass::Role(role) };
        if key == self.publishable {
            Ok(or_unchanged("anon"))
        } else if key == self.secret {
            Ok(or_unchanged("service_role"))
        } else if key == self.legacy_anon || key == self.legacy_service {
            Ok(Pass::Unchanged)
        } else {
            Err(Refusal::WrongKey)
        }
    }
}

impl Refusal {
    /// The body of the 401.
    pub fn body(&self) -> serde_json::Value {
        match self {
            Refusal::NoKey => serde_json::json!({
                "message": "No API key found in request",
                "hint": "No `apikey` request header or url param was found."
            }),
            Refusal::WrongKey => serde_json::json!({
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
    fn new_style_keys_stand_for_a_role_unless_a_token_comes_along() {
        let keys = keys();
        assert_eq!(keys.judge(Some("sb_publishable_x"), None), Ok(Pass::Role("anon")));
        assert_eq!(keys.judge(Some("sb_secret_x"), None), Ok(Pass::Role("service_role")));
        assert_eq!(keys.judge(Some("sb_publishable_x"), Some("Bearer eyJ.user.x")), Ok(Pass::Unchanged));
    }

    #[test]
    fn a_legacy_key_is_only_recognised_and_its_role_is_that_of_the_authorization() {
        assert_eq!(keys().judge(Some("eyJ.service.x"), None), Ok(Pass::Unchanged));
    }

    #[test]
    fn without_a_key_of_the_project_nothing_is_passed_on() {
        let keys = keys();
        assert_eq!(keys.judge(None, Some("Bearer eyJ.service.x")), Err(Refusal::NoKey));
        assert_eq!(keys.judge(Some(""), None), Err(Refusal::NoKey));
        assert_eq!(keys.judge(Some("sb_secret_y"), None), Err(Refusal::WrongKey));
        assert_eq!(keys.judge(Some("eyJ.other.x"), Some("Bearer eyJ.other.x")), Err(Refusal::WrongKey));
    }
}
