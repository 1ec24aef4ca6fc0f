//! The request body of "create session": validation and OpenAI's defaults.

use serde_json::{Map, Value};

use super::response::ApiError;
use super::validation;
use super::validation::Fields;

/// The longest lifetime of a session; also the default.
pub(super) const MAX_LIFETIME_SECONDS: i64 = 600;
/// Default number of messages a minute.
const DEFAULT_PER_MINUTE: i64 = 10;
/// The largest upload; also the default.
const MAX_FILE_MEGABYTES: i64 = 512;
const DEFAULT_FILES: i64 = 10;
const MAX_VARIABLES: usize = 64;
const MAX_VARIABLE_NAME_LENGTH: usize = 64;
const MAX_VARIABLE_LENGTH: usize = 10_485_760;

/// A request for a session, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewSession {
    pub(super) user: String,
    pub(super) workflow: String,
    pub(super) version: Option<String>,
    pub(super) state_variables: Option<Map<String, Value>>,
    pub(super) tracing: bool,
    pub(super) lifetime_seconds: i64,
    pub(super) per_minute: i64,
    pub(super) titling: bool,
    pub(super) uploads: Uploads,
    pub(super) history: bool,
    pub(super) recent_threads: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uploads {
    pub(super) enabled: bool,
    pub(super) max_file_size: i64,
    pub(super) max_files: i64,
}

impl NewSession {
    pub(super) fn parse(body: &Value) -> Result<Self, ApiError> {
        let known = ["user", "workflow", "expires_after", "rate_limits", "chatkit_configuration"];
        let body = Fields::parse("", body, &known)?;
        let user = body.non_empty_string("user")?.to_owned();
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
            lifetime_seconds: lifetime(&body)?,
            per_minute: per_minute.unwrap_or(DEFAULT_PER_MINUTE),
            titling: true,
            uploads: Uploads { enabled: false, max_file_size: MAX_FILE_MEGABYTES, max_files: DEFAULT_FILES },
            history: true,
            recent_threads: None,
        };
        let known = ["automatic_thread_titling", "file_upload", "history"];
        if let Some(configuration) = body.object("chatkit_configuration", &known)? {
            session.configure(&configuration)?;
        }
        Ok(session)
    }

    fn configure(&mut self, configuration: &Fields<'_>) -> Result<(), ApiError> {
        if let Some(titling) = configuration.object("automatic_thread_titling", &["enabled"])? {
            self.titling = titling.boolean("enabled")?.unwrap_or(self.titling);
        }
        if let Some(files) =
            configuration.object("file_upload", &["enabled", "max_file_size", "max_files"])?
        {
            let uploads = &mut self.uploads;
            uploads.enabled = files.boolean("enabled")?.unwrap_or(uploads.enabled);
            let size = files.integer("max_file_size", 1, MAX_FILE_MEGABYTES)?;
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

/// Returns the seconds until the session expires.
fn lifetime(body: &Fields<'_>) -> Result<i64, ApiError> {
    let Some(expires) = body.object("expires_after", &["anchor", "seconds"])? else {
        return Ok(MAX_LIFETIME_SECONDS);
    };
    let anchor = expires.required_string("anchor")?;
    if anchor != "created_at" {
        let at = "expires_after.anchor";
        let message = format!("Invalid value: '{anchor}'. The only supported value is 'created_at'.");
        return Err(ApiError::parameter(at, "invalid_value", message));
    }
    expires.required_integer("seconds", 1, MAX_LIFETIME_SECONDS)
}

fn state_variables(workflow: &Fields<'_>) -> Result<Option<Map<String, Value>>, ApiError> {
    let Some(variables) = workflow.map("state_variables")? else { return Ok(None) };
    let at = "workflow.state_variables";
    if variables.len() > MAX_VARIABLES {
        let message = format!("Invalid '{at}': expected at most {MAX_VARIABLES} properties.");
        return Err(ApiError::parameter(at, "object_above_max_properties", message));
    }
    for (name, value) in variables {
        validation::check_max_length(at, name, MAX_VARIABLE_NAME_LENGTH)?;
        validation::check_primitive(&validation::join(at, name), value, MAX_VARIABLE_LENGTH)?;
    }
    Ok(Some(variables.clone()))
}
