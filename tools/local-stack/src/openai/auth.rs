//! Authentication: the headers that every call of OpenAI's ChatKit API needs.

use axum::http::StatusCode;

use super::request::Request;
use super::response::ApiError;
use super::settings::Settings;

/// Returns the project of the request.
pub(super) fn authenticate(settings: &Settings, request: &Request) -> Result<String, ApiError> {
    let project = project(settings, request)?;
    let betas = request.header("openai-beta").unwrap_or_default();
    if !betas.split(',').any(|beta| beta.trim() == "chatkit_beta=v1") {
        let message = "The ChatKit API needs the header 'OpenAI-Beta: chatkit_beta=v1'.";
        return Err(ApiError::request(StatusCode::BAD_REQUEST, Some("invalid_beta"), message));
    }
    Ok(project)
}

fn project(settings: &Settings, request: &Request) -> Result<String, ApiError> {
    let unauthorized =
        |code, message: String| Err(ApiError::request(StatusCode::UNAUTHORIZED, code, message));
    let Some(sent) = request.bearer() else {
        return unauthorized(None, "Send your API key as 'Authorization: Bearer KEY'.".to_owned());
    };
    let Some(key) = settings.api_keys.iter().find(|k| k.key == sent) else {
        return unauthorized(
            Some("invalid_api_key"),
            format!("Incorrect API key provided: {}.", masked(sent)),
        );
    };
    let named = request.header("openai-project");
    match (&key.project, named) {
        (Some(own), None) => Ok(own.clone()),
        (Some(own), Some(named)) if own == named => Ok(own.clone()),
        (Some(_), Some(_)) => unauthorized(
            Some("mismatched_project"),
            "OpenAI-Project is not the API key's project.".to_owned(),
        ),
        (None, Some(named)) if settings.workflows.iter().any(|w| w.project == named) => Ok(named.to_owned()),
        (None, Some(named)) => unauthorized(Some("invalid_project"), format!("No such project: '{named}'.")),
        (None, None) => unauthorized(
            Some("missing_project"),
            "This API key is not bound to a project: name one in 'OpenAI-Project'.".to_owned(),
        ),
    }
}

/// Masks a key as OpenAI does in its error messages: only the first and last characters are
/// visible.
fn masked(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    if characters.len() < 12 {
        return "*".repeat(characters.len());
    }
    let (head, tail) = (&characters[..3], &characters[characters.len() - 4..]);
    format!("{}{}{}", String::from_iter(head), "*".repeat(8), String::from_iter(tail))
}
