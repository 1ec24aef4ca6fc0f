//! What a token says of how somebody signed in and by which program, and what that is enough for.

use crate::{
    error::{Error, ErrorCode},
    platform::{
        config::{Environment, Reported},
        parse,
    },
};

/// How somebody signed in, and by which program. Whatever acts for a caller later than their request keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assurance {
    /// `client_id`: the third-party OAuth client that the token was issued to; none for the project's own pages.
    pub client_id: Option<String>,
    /// `aal`: the authenticator assurance level, `aal2` with a second factor.
    pub aal: Option<String>,
}

/// Who may decide, edit, answer or withdraw an escalation, as far as their token says. Every way to do so asks
/// [`DecisionRules::check`], and what only the database knows is asked there.
#[derive(Clone, Debug, Default)]
pub struct DecisionRules {
    oauth_clients: Vec<String>,
    require_aal2: bool,
}

impl DecisionRules {
    /// Reads the rules.
    pub fn from_environment(environment: &mut Environment) -> Result<Self, Reported> {
        let oauth_clients = environment.optional("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", parse_client_ids);
        let require_aal2 = environment.optional("REQUIRE_AAL2_TO_DECIDE", parse::boolean);
        Ok(Self {
            oauth_clients: oauth_clients?.unwrap_or_default(),
            require_aal2: require_aal2?.unwrap_or_default(),
        })
    }

    /// Refuses those whose token does not do for deciding.
    ///
    /// # Errors
    /// `oauth_client_forbidden`, `step_up_required`.
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

/// Ids separated by commas. The value is not repeated: what stands there by mistake may be a secret.
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
        environment.finish(rules).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_client_is_allowed_by_its_id_and_a_second_factor_where_it_is_required() {
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
            let refused = rules(clients, aal2).unwrap().check(&assurance).err().map(|error| error.code);
            assert_eq!(refused, expected, "{clients:?} {aal2:?} {assurance:?}");
        }
    }

    #[test]
    fn mistakes_are_reported_without_the_value() {
        for (clients, aal2, mistake) in [
            ("c1,,c2", "", "OAUTH_CLIENTS_ALLOWED_TO_DECIDE has no client id as number 2"),
            ("c1,", "", "OAUTH_CLIENTS_ALLOWED_TO_DECIDE has no client id as number 2"),
            ("c1 c4n4ry", "", "OAUTH_CLIENTS_ALLOWED_TO_DECIDE has no client id as number 1"),
            ("", "yes", "REQUIRE_AAL2_TO_DECIDE must be true or false"),
            ("", "1", "REQUIRE_AAL2_TO_DECIDE must be true or false"),
        ] {
            let mistakes = rules(clients, aal2).unwrap_err();
            assert!(mistakes.contains(mistake) && !mistakes.contains("c4n4ry"), "{mistakes}");
        }
    }
}
