//! A message from a browser: what ChatKit.js does with a client secret.

use axum::http::StatusCode;
use serde_json::json;

use super::items::Item;
use super::request::Request;
use super::response::{Outcome, Refusal};
use super::state::State;
use super::threads::ThreadStatus;
use super::validation::Fields;

/// Characters of the first message that become the title.
const TITLE: usize = 40;

/// `POST /stand-in/say` with `{"text": …, "thread_id"?: …}`: puts the user's message and the agent's answer into
/// a thread of the session's user, a new one where none is named.
pub(super) fn say(state: &mut State, request: &Request) -> Outcome {
    let (millis, now) = (state.clock.millis(), state.clock.seconds());
    let session = state.sessions.alive(request.bearer().unwrap_or_default(), now)?;
    session.count_message(millis)?;
    let (project, wanted) = (session.project.clone(), session.wanted.clone());
    request.no_query()?;
    let body = request.json()?;
    let body = Fields::of("", &body, &["text", "thread_id"])?;
    let (text, thread_id) = (body.text("text")?, body.string("thread_id")?);
    runnable(state, &wanted.workflow, wanted.version.as_deref())?;

    let thread = match thread_id {
        None => {
            let title = wanted.titling.then(|| text.chars().take(TITLE).collect());
            state.threads.open(&project, &wanted.user, title, now)
        }
        Some(id) => {
            let found = state.threads.any_mut(id);
            let own = found.filter(|t| t.project == project && t.user == wanted.user);
            own.ok_or_else(|| Refusal::not_found("Thread", id))?
        }
    };
    if thread.status != ThreadStatus::Active {
        let message = "The thread takes no more messages.";
        return Err(Refusal::request(StatusCode::BAD_REQUEST, Some("thread_not_active"), message));
    }
    let item_ids =
        [thread.put(Item::user(text), now), thread.put(Item::assistant(&format!("Understood: {text}")), now)];
    Ok(json!({"thread_id": thread.id, "item_ids": item_ids}))
}

/// OpenAI looks at the version only now: `latest` and every other name that is no version fail here.
fn runnable(state: &State, workflow: &str, version: Option<&str>) -> Result<(), Refusal> {
    let Some(workflow) = state.known.workflows.iter().find(|w| w.id == workflow) else {
        return Err(Refusal::not_found("Workflow", workflow));
    };
    match version {
        Some(version) if !workflow.versions.iter().any(|v| v == version) => {
            let message = format!("Workflow '{}' has no version '{version}'.", workflow.id);
            Err(Refusal::request(StatusCode::BAD_REQUEST, Some("invalid_workflow_version"), message))
        }
        _ => Ok(()),
    }
}
