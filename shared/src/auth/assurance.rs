//! Authentication assurance: how a user signed in, through which OAuth client, and whether that is
//! enough to decide an escalation.

use serde::Deserialize;

use crate::{
    error::{Error, ErrorCode},
    platform::{
        config::{Environment, Reported},
        parse,
    },
};

/// How the user signed in and through which client. Code that acts for a caller after the
/// request has ended keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Assurance {
    /// `client_id`: the third-party OAuth client that the token was issued to. `None`
    /// for the project's own pages.
    pub client_id: Option<String>,
    /// `aal`: the authenticator assurance level; `aal2` means with a second factor.
    pub aal: Option<String>,
}

/// Rules on which tokens may decide, edit, answer or withdraw an escalation. Every such operation
/// calls [`DecisionRules::check`]. The database checks the rules that depend on stored data.
#[derive(Clone, Debug, Default)]
pub struct DecisionRules {
    oauth_clients: Vec<String>,
    require_aal2: bool,
}

impl DecisionRules {
    pub fn from_environment(environment: &mut Environment) -> Result<Self, Reported> {
        let oauth_clients = environment.optional("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", parse_client_ids);
        let require_aal2 = environment.optional("REQUIRE_AAL2_TO_DECIDE", parse::boolean);
        Ok(Self {
            oauth_clients: oauth_clients?.unwrap_or_default(),
            require_aal2: require_aal2?.unwrap_or_default(),
        })
    }

    /// Checks whether a token with this assurance may decide.
    ///
    /// # Errors
    /// Returns [`ErrorCode::OauthClientForbidden`] if the token's OAuth client is not allowed, and
    /// [`ErrorCode::StepUpRequired`] if `aal2` is required and missing.
    pub fn check(&self, assurance: &Assurance) -> Result<(), Error> {
        if assurance.client_id.as_ref().is_some_and(|id| !self.oauth_clients.contains(id)) {
            return Err(Error::new(ErrorCode::OauthClientForbidden));
        }
        if self.require_aal2 && assurance.aal.as_deref() != Some("aal2") {
            return Err(Error::new(ErrorCode::StepUpRequired));
        }
        Ok(())
    }
}

/// Parses client ids separated by commas. Error texts do not repeat the value, since it may be a
/// secret in the wrong variable.
fn parse_client_ids(value: &str) -> Result<Vec<String>, String> {
    let id = |(i, id): (usize, &str)| {
        let id = id.trim();
        let sound = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| id.to_owned()).ok_or_else(|| format!("has no client id as number {}", i + 1))
    };
    value.split(',').enumerate().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(clients: &'static str, aal2: &'static str) -> Result<DecisionRules, String> {
        let mut environment = Environment::new(move |name| match name {
            "OAUTH_CLIENTS_ALLOWED_TO_DECIDE" => Some(clients.to_owned()),
            "REQUIRE_AAL2_TO_DECIDE" => Some(aal2.to_owned()),
            _ => None,
        });
        let rules = DecisionRules::from_environment(&mut environment);
        environment.finish(rules).map_err(|errors| errors.to_string())
    }

    #[test]
    fn check_requires_an_allowed_client_and_the_configured_second_factor() {
        let none = (None, None);
        for (clients, aal2, (client_id, aal), expected) in [
            ("", "", none, None),
            ("", "", (Some("c1"), Some("aal2")), Some(ErrorCode::OauthClientForbidden)),
            ("c1, c2", "", (Some("c2"), None), None),
            ("c1,c2", "", (Some("c"), None), Some(ErrorCode::OauthClientForbidden)),
            ("c1", "", (Some(""), None), Some(ErrorCode::OauthClientForbidden)),
            ("c1", "false", (Some("c1"), Some("aal1")), None),
            ("", "true", none, Some(ErrorCode::StepUpRequired)),
            ("", "true", (None, Some("aal1")), Some(ErrorCode::StepUpRequired)),
            ("", "true", (None, Some("AAL2")), Some(ErrorCode::StepUpRequired)),
            ("", "true", (None, Some("aal2")), None),
            ("c1", "true", (Some("c1"), Some("aal1")), Some(ErrorCode::StepUpRequired)),
            ("c1", "true", (Some("c1"), Some("aal2")), None),
            ("c1", "true", (Some("c2"), Some("aal1")), Some(ErrorCode::OauthClientForbidden)),
        ] {
            let assurance =
                Assurance { client_id: client_id.map(str::to_owned), aal: aal.map(str::to_owned) };
            let code = rules(clients, aal2).unwrap().check(&assurance).err().map(|error| error.code);
            assert_eq!(code, expected, "{clients:?} {aal2:?} {assurance:?}");
        }
    }

    #[test]
    fn invalid_rules_are_reported_without_the_value() {
        for (clients, aal2, expected) in [
            ("c1,,c2", "", "OAUTH_CLIENTS_ALLOWED_TO_DECIDE has no client id as number 2"),
            ("c1,", "", "OAUTH_CLIENTS_ALLOWED_TO_DECIDE has no client id as number 2"),
            ("c1 c4n4ry", "", "OAUTH_CLIENTS_ALLOWED_TO_DECIDE has no client id as number 1"),
            ("", "yes", "REQUIRE_AAL2_TO_DECIDE must be true or false"),
            ("", "1", "REQUIRE_AAL2_TO_DECIDE must be true or false"),
        ] {
            let errors = rules(clients, aal2).unwrap_err();
            assert!(errors.contains(expected) && !errors.contains("c4n4ry"), "{errors}");
        }
    }
}
