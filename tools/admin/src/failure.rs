//! Errors of commands, with what the operator can do.

use std::{fmt, process::ExitCode};

use shared::{
    clients::supabase,
    error::{Error, ErrorCode},
    runtime::error_message,
};

/// Why a command did not do its work.
#[derive(Debug)]
pub struct Failure {
    message: String,
    /// Whether the command had begun its work.
    is_attempted: bool,
}

impl Failure {
    /// An invalid argument, file or configuration, or an answer that was not given.
    pub fn not_attempted(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_attempted: false }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.is_attempted { 1 } else { 2 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error_message(&error);
        let mut cause = error.cause.as_deref().map(|cause| cause as &dyn std::error::Error);
        while let Some(error) = cause {
            message.push_str(&format!("\n  cause: {error}"));
            cause = error.source();
        }
        Self { message, is_attempted: true }
    }
}

impl From<supabase::Error> for Failure {
    fn from(error: supabase::Error) -> Self {
        let supabase::Error::Rpc { code, detail, hint, .. } = &error else {
            return Error::from(error).into();
        };
        let Some(remedy) = remedy(code, detail.as_deref()) else {
            return match ErrorCode::parse(code) {
                Some(_) => Error::from(error).into(),
                None => {
                    Self { message: format!("{code}: The database refused the call."), is_attempted: true }
                }
            };
        };
        // The pointers of the database are into its arguments, whose names have a prefix.
        let place = hint.as_deref().filter(|hint| !hint.is_empty()).map(|hint| hint.replacen("/p_", "/", 1));
        let about: Vec<String> =
            detail.clone().into_iter().chain(place.map(|at| format!("at {at}"))).collect();
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        Self { message: format!("{code}{about}: {remedy}"), is_attempted: true }
    }
}

/// Advice to the operator about an error that the functions do not return, or return to callers
/// with other advice.
fn remedy(code: &str, detail: Option<&str>) -> Option<&'static str> {
    Some(match (code, detail) {
        ("invalid_agent", _) => {
            "The registration violates a rule. Correct the field that the rule names; \
             docs/guides/register-an-agent.md lists the fields."
        }
        ("invalid_agent_server", Some("agent_servers_agent_fkey")) => {
            "The organisation does not have this agent. Register the agent first."
        }
        ("invalid_agent_server", _) => {
            "The registration violates a rule. Correct the field that the rule names; \
             docs/guides/write-an-agent.md lists the fields."
        }
        ("invalid_limits", _) => "A limit is outside its range. docs/reference/limits.md lists the ranges.",
        ("last_owner", _) => {
            "The organisation would lose its last active owner. Make another member an owner first."
        }
        ("member_of_other_organisation", _) => {
            "A user belongs to one organisation at a time. Remove the user from the other one first."
        }
        ("invalid_retention", _) => "Give 1 to 36500 days.",
        ("invalid_erasure", _) => "Give who requested the erasure, and a reason of at most 2000 characters.",
        ("delivery_not_found", _) => "Check the id and the organisation.",
        ("delivery_not_dead", _) => {
            "Only dead letters and deliveries of unknown outcome can be replayed. The status of this one \
             is given above."
        }
        ("session_ended", _) => {
            "The session has ended, so its deliveries are not replayed. Ask the user to begin again in a \
             new session."
        }
        ("session_not_found", _) => "Check the id and the organisation.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(code: &str, detail: Option<&str>, hint: Option<&str>) -> String {
        let (detail, hint) = (detail.map(str::to_owned), hint.map(str::to_owned));
        Failure::from(supabase::Error::Rpc { status: 422, code: code.to_owned(), detail, hint }).to_string()
    }

    #[test]
    fn database_error_names_the_rule_and_the_place_in_the_file() {
        let message = message("invalid_agent_server", Some("agent_tools_policy_known"), Some("/p_tools/1"));
        let expected = "invalid_agent_server (agent_tools_policy_known, at /tools/1): ";
        assert!(message.starts_with(expected) && message.contains("write-an-agent.md"), "{message}");
    }

    #[test]
    fn error_of_the_api_has_its_advice() {
        let message = message("user_not_found", None, None);
        assert!(message.starts_with("user_not_found: User not found. Check orgId"), "{message}");
    }

    #[test]
    fn unknown_code_is_reported() {
        assert!(message("new_code", None, None).starts_with("new_code: "));
    }
}
