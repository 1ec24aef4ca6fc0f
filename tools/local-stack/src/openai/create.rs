//! The body of a request for a session: checked field by field, and completed with OpenAI's defaults.

use serde_json::{Map, Value};

use super::response::Refusal;
use super::validation;
use super::validation::Fields;

/// Longest life of a session in seconds; also what it gets when nothing is asked for.
pub(super) const LONGEST_LIFE: i64 = 600;
/// Messages a minute when nothing is asked for.
const DEFAULT_PER_MINUTE: i64 = 10;
/// Largest upload in megabytes; also the default.
const LARGEST_FILE: i64 = 512;
const DEFAULT_FILES: i64 = 10;
const MOST_VARIABLES: usize = 64;
const LONGEST_VARIABLE_NAME: usize = 64;
const LONGEST_VARIABLE: usize = 10_485_760;

/// A request for a session, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewSession {
    pub(super) user: String,
    pub(super) workflow: String,
    pub(super) version: Option<String>,
    pub(super) state_variables: Option<Map<String, Value>>,
    pub(super) tracing: bool,
    /// Seconds.
    pub(super) life: i64,
    pub(super) per_minute: i64,
    pub(super) titling: bool,
    pub(super) uploads: Uploads,
    pub(super) history: bool,
    pub(super) recent_threads: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uploads {
    pub(super) enabled: bool,
    /// Megabytes.
    pub(super) max_file_size: i64,
    pub(super) max_files: i64,
}

impl NewSession {
    pub(super) fn parse(body: &Value) -> Result<Self, Refusal> {
        let known = ["user", "workflow", "expires_after", "rate_limits", "chatkit_configuration"];
        let body = Fields::of("", body, &known)?;
        let user = body.text("user")?.to_owned();
        let workflow = body.required_object("workflow", &["id", "version", "state_variables", "tracing"])?;
        let tracing = workflow.object("tracing", &["enabled"])?;
        let limits = body.object("rate_limits", &["max_requests_per_1_minute"])?;
        let per_minute = match limits {
            Some(limits) => limits.integer("max_requests_per_1_minute", 1, i64::MAX)?,
            None => None,
        };
        let mut session = Self {
            user,
            workflow: workflow.required_string("id")?.to_owned(),
            version: workflow.string("version")?.map(str::to_owned),
            state_variables: state_variables(&workflow)?,
            tracing: tracing.map_or(Ok(None), |t| t.boolean("enabled"))?.unwrap_or(true),
            life: life(&body)?,
            per_minute: per_minute.unwrap_or(DEFAULT_PER_MINUTE),
            titling: true,
            uploads: Uploads { enabled: false, max_file_size: LARGEST_FILE, max_files: DEFAULT_FILES },
            history: true,
            recent_threads: None,
        };
        let known = ["automatic_thread_titling", "file_upload", "history"];
        if let Some(configuration) = body.object("chatkit_configuration", &known)? {
            session.configure(&configuration)?;
        }
        Ok(session)
    }

    fn configure(&mut self, configuration: &Fields<'_>) -> Result<(), Refusal> {
        if let Some(titling) = configuration.object("automatic_thread_titling", &["enabled"])? {
            self.titling = titling.boolean("enabled")?.unwrap_or(self.titling);
        }
        if let Some(files) =
            configuration.object("file_upload", &["enabled", "max_file_size", "max_files"])?
        {
            let uploads = &mut self.uploads;
            uploads.enabled = files.boolean("enabled")?.unwrap_or(uploads.enabled);
            let size = files.integer("max_file_size", 1, LARGEST_FILE)?;
            uploads.max_file_size = size.unwrap_or(uploads.max_file_size);
            uploads.max_files = files.integer("max_files", 1, i64::MAX)?.unwrap_or(uploads.max_files);
        }
        if let Some(history) = configuration.object("history", &["enabled", "recent_threads"])? {
            self.history = history.boolean("enabled")?.unwrap_or(self.history);
            self.recent_threads = history.integer("recent_threads", 1, i64::MAX)?;
        }
        Ok(())
    }
}

/// Seconds until the session expires.
fn life(body: &Fields<'_>) -> Result<i64, Refusal> {
    let Some(expires) = body.object("expires_after", &["anchor", "seconds"])? else {
        return Ok(LONGEST_LIFE);
    };
    let anchor = expires.required_string("anchor")?;
    if anchor != "created_at" {
        let at = "expires_after.anchor";
        let message = format!("Invalid value: '{anchor}'. The only supported value is 'created_at'.");
        return Err(Refusal::parameter(at, "invalid_value", message));
    }
    expires.required_integer("seconds", 1, LONGEST_LIFE)
}

fn state_variables(workflow: &Fields<'_>) -> Result<Option<Map<String, Value>>, Refusal> {
    let Some(variables) = workflow.map("state_variables")? else { return Ok(None) };
    let at = "workflow.state_variables";
    if variables.len() > MOST_VARIABLES {
        let message = format!("Invalid '{at}': expected at most {MOST_VARIABLES} properties.");
        return Err(Refusal::parameter(at, "object_above_max_properties", message));
    }
    for (name, value) in variables {
        validation::at_most(at, name, LONGEST_VARIABLE_NAME)?;
        validation::primitive(&validation::join(at, name), value, LONGEST_VARIABLE)?;
    }
    Ok(Some(variables.clone()))
}
