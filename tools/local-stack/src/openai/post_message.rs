//! A browser's message: what ChatKit.js does with a client secret.

use axum::http::StatusCode;
use serde_json::json;

use super::items::Item;
use super::request::Request;
use super::response::{ApiError, Outcome};
use super::state::State;
use super::threads::ThreadStatus;
use super::validation::Fields;

/// Characters of the first message that become the thread's title.
const TITLE_LENGTH: usize = 40;

/// `POST /stand-in/say` with `{"text": …, "thread_id"?: …}`: adds the user's message and the
/// agent's reply to a thread of the session's user, or to a new thread.
pub(super) fn post_message(state: &mut State, request: &Request) -> Outcome {
    let (millis, now) = (state.clock.millis(), state.clock.seconds());
    let session = state.sessions.active_by_secret(request.bearer().unwrap_or_default(), now)?;
    session.count_message(millis)?;
    let (project, config) = (session.project.clone(), session.config.clone());
    request.require_no_query()?;
    let body = request.json()?;
    let body = Fields::parse("", &body, &["text", "thread_id"])?;
    let (text, thread_id) = (body.non_empty_string("text")?, body.string("thread_id")?);
    check_version(state, &config.workflow, config.version.as_deref())?;

    let thread = match thread_id {
        None => {
            let title = config.titling.then(|| text.chars().take(TITLE_LENGTH).collect());
            state.threads.open(&project, &config.user, title, now)
        }
        Some(id) => {
            let found = state.threads.get_mut(id);
            let own = found.filter(|t| t.project == project && t.user == config.user);
            own.ok_or_else(|| ApiError::not_found("Thread", id))?
        }
    };
    if thread.status != ThreadStatus::Active {
        let message = "The thread does not accept messages.";
        return Err(ApiError::request(StatusCode::BAD_REQUEST, Some("thread_not_active"), message));
    }
    let item_ids =
        [thread.put(Item::user(text), now), thread.put(Item::assistant(&format!("Understood: {text}")), now)];
    Ok(json!({"thread_id": thread.id, "item_ids": item_ids}))
}

/// OpenAI checks the version only here: `latest` and every other unknown version fail.
fn check_version(state: &State, workflow: &str, version: Option<&str>) -> Result<(), ApiError> {
    let Some(workflow) = state.settings.workflows.iter().find(|w| w.id == workflow) else {
        return Err(ApiError::not_found("Workflow", workflow));
    };
    match version {
        Some(version) if !workflow.versions.iter().any(|v| v == version) => {
            let message = format!("Workflow '{}' has no version '{version}'.", workflow.id);
            Err(ApiError::request(StatusCode::BAD_REQUEST, Some("invalid_workflow_version"), message))
        }
        _ => Ok(()),
    }
}
