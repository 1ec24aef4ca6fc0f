//! The operations of the fake and their URLs.

use axum::http::{Method, StatusCode};

use super::response::ApiError;

/// An operation: one of OpenAI's six, or the browser's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /v1/chatkit/sessions`
    CreateSession,
    /// `POST /v1/chatkit/sessions/{id}/cancel`
    CancelSession,
    /// `GET /v1/chatkit/threads`
    ListThreads,
    /// `GET /v1/chatkit/threads/{id}`
    RetrieveThread,
    /// `DELETE /v1/chatkit/threads/{id}`
    DeleteThread,
    /// `GET /v1/chatkit/threads/{id}/items`
    ListItems,
    /// `POST /stand-in/say`: what ChatKit.js does in a browser. It is not part of OpenAI's API.
    PostMessage,
}

impl Operation {
    /// Returns the operation of a URL, and the id in its path or "".
    pub(super) fn at(method: &Method, path: &str) -> Result<(Self, String), ApiError> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (allowed, id): (&[(Method, Self)], &str) = match segments[..] {
            ["v1", "chatkit", "sessions"] => (&[(Method::POST, Self::CreateSession)], ""),
            ["v1", "chatkit", "sessions", id, "cancel"] => (&[(Method::POST, Self::CancelSession)], id),
            ["v1", "chatkit", "threads"] => (&[(Method::GET, Self::ListThreads)], ""),
            ["v1", "chatkit", "threads", id] if !id.is_empty() => {
                (&[(Method::GET, Self::RetrieveThread), (Method::DELETE, Self::DeleteThread)], id)
            }
            ["v1", "chatkit", "threads", id, "items"] => (&[(Method::GET, Self::ListItems)], id),
            ["stand-in", "say"] => (&[(Method::POST, Self::PostMessage)], ""),
            _ => {
                let message = format!("Invalid URL ({method} {path})");
                return Err(ApiError::request(StatusCode::NOT_FOUND, None, message));
            }
        };
        match allowed.iter().find(|(m, _)| m == method) {
            Some((_, operation)) => Ok((*operation, id.to_owned())),
            None => Err(ApiError::request(
                StatusCode::METHOD_NOT_ALLOWED,
                Some("method_not_supported"),
                format!("Not allowed to {method} on {path}."),
            )),
        }
    }
}
