//! Client of the ChatKit API, hosted by OpenAI.
//! Source: <https://platform.openai.com/docs/api-reference/chatkit>

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;

use super::{ChatKitSession, ChatKitSessionRequest, Error, HostedThread, MessagePage, OpenAiCause, dto};
use crate::platform::{
    config::require_length,
    http_client::{
        Deadline, HttpClient, HttpResponse, Idempotency, RetryDecision, RetryPolicy,
        classification::{Done, openai::TABLE},
    },
    parse::Timestamp,
    secret::Secret,
    secret_store::Rotating,
};

/// Minimum length of a key. OpenAI's have 51 characters or more.
const MIN_KEY: usize = 20;

const READ: RetryPolicy = RetryPolicy {
    system: "openai",
    try_timeout: Duration::from_secs(3),
    retry_window: Duration::from_secs(2),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| answer.cause(&TABLE, false).map(OpenAiCause::retry_decision).unwrap_or_default(),
};

/// Cancelling a cancelled session returns 404, which counts as success.
const CANCEL: RetryPolicy = READ;

/// Deleting a deleted thread returns 404, which counts as success.
const DELETE: RetryPolicy = READ;

/// Not idempotent: a retry could open a second session, which no row records.
const CREATE: RetryPolicy = RetryPolicy {
    try_timeout: Duration::from_secs(6),
    idempotency: Idempotency::NotIdempotent,
    retry_on: |answer| match answer.cause(&TABLE, false) {
        Some(kind) => RetryDecision {
            retry: kind.retry_decision().retry && kind.meaning().done == Done::No,
            ..kind.retry_decision()
        },
        None => RetryDecision::default(),
    },
    ..READ
};

const PROJECT: HeaderName = HeaderName::from_static("openai-project");

/// Client of OpenAI's ChatKit API, with one API key.
#[derive(Clone)]
pub struct ChatKit {
    http: HttpClient,
    base: String,
    key: Rotating<HeaderValue>,
    /// The headers of every request, without the key.
    headers: HeaderMap,
}

impl ChatKit {
    /// Creates a client of the API at `base`. Every request carries `key` and `project` as headers.
    pub fn new(
        http: HttpClient,
        base: &url::Url,
        key: Rotating<HeaderValue>,
        project: Option<HeaderValue>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("openai-beta", HeaderValue::from_static("chatkit_beta=v1"));
        headers.extend(project.map(|project| (PROJECT, project)));
        Self { http, base: base.as_str().trim_end_matches('/').to_owned(), key, headers }
    }

    /// Returns a client that names no project, to find out whether OpenAI rejects
    /// the project or the key.
    #[cfg(feature = "doctor")]
    pub(crate) fn without_project(&self) -> Self {
        let mut unbound = self.clone();
        unbound.headers.remove(PROJECT);
        unbound
    }

    /// Creates a ChatKit session. Not idempotent: each call creates another one.
    pub async fn create_session(
        &self,
        session: &ChatKitSessionRequest,
        deadline: Deadline,
    ) -> Result<ChatKitSession, Error> {
        let body = dto::CreateSessionBody::new(session);
        let request = self.request(Method::POST, "/chatkit/sessions", &[], Some(&body))?;
        let session: dto::SessionResponse =
            self.json(request, CREATE, deadline).await.map_err(Error::for_create_session)?;
        session.into_chatkit_session().ok_or_else(|| Error::no_response(OpenAiCause::BadAnswer, None))
    }

    /// Cancels a ChatKit session. A session that no longer exists counts as cancelled.
    pub async fn cancel_session(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        let path = format!("/chatkit/sessions/{id}/cancel");
        let request = self.request(Method::POST, &path, &[], None::<&()>)?;
        // The response repeats the client secret, so its body is dropped unread.
        self.send_idempotent(request, CANCEL, deadline).await
    }

    /// Returns the newest threads of a user, at most 100.
    pub async fn threads(&self, user: &str, deadline: Deadline) -> Result<Vec<HostedThread>, Error> {
        // Without `user` OpenAI lists every thread of the project.
        let query = [("limit", "100"), ("order", "desc"), ("user", user)];
        let request = self.request(Method::GET, "/chatkit/threads", &query, None::<&()>)?;
        let list: dto::List<dto::ThreadResponse> = self.json(request, READ, deadline).await?;
        Ok(list.data.into_iter().filter_map(dto::ThreadResponse::into_thread).collect())
    }

    /// Returns the ids of a user's threads, oldest first and at most 100, starting after the thread
    /// `after` or from the beginning. The list is empty if the user has no thread left.
    ///
    /// # Errors
    /// Returns [`OpenAiCause::BadAnswer`] if the list contains a thread of another user.
    pub async fn thread_ids(
        &self,
        user: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        // Without `user` OpenAI lists every thread of the project. These threads are to be deleted,
        // so the owner of each one is checked as well.
        let mut query = vec![("limit", "100"), ("order", "asc"), ("user", user)];
        query.extend(after.map(|after| ("after", after)));
        let request = self.request(Method::GET, "/chatkit/threads", &query, None::<&()>)?;
        let list: dto::List<dto::ThreadOwner> = self.json(request, READ, deadline).await?;
        let ids: Option<_> = list.data.into_iter().map(|thread| thread.into_owned_id(user)).collect();
        ids.ok_or_else(|| Error::no_response(OpenAiCause::BadAnswer, None))
    }

    /// Deletes a thread with its messages. A thread that no longer exists counts as deleted.
    pub async fn delete_thread(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        if !dto::is_path_safe(id) {
            return Err(Error::invalid_request());
        }
        let request = self.request(Method::DELETE, &format!("/chatkit/threads/{id}"), &[], None::<&()>)?;
        self.send_idempotent(request, DELETE, deadline).await
    }

    /// Returns a thread of any user, or `None` if it does not exist.
    pub async fn thread(&self, id: &str, deadline: Deadline) -> Result<Option<HostedThread>, Error> {
        let request = self.request(Method::GET, &format!("/chatkit/threads/{id}"), &[], None::<&()>)?;
        match self.json::<dto::ThreadResponse>(request, READ, deadline).await {
            Ok(thread) => Ok(thread.into_thread()),
            Err(error) if error.cause == OpenAiCause::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns when the newest item of a thread was created, or `None` if the thread does
    /// not exist or is empty.
    pub async fn newest_item_time(&self, id: &str, deadline: Deadline) -> Result<Option<Timestamp>, Error> {
        let query = [("limit", "1"), ("order", "desc")];
        let path = format!("/chatkit/threads/{id}/items");
        let request = self.request(Method::GET, &path, &query, None::<&()>)?;
        match self.json::<dto::List<dto::Item>>(request, READ, deadline).await {
            Ok(items) => Ok(items.data.first().and_then(dto::Item::created_at)),
            Err(error) if error.cause == OpenAiCause::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a page of a thread's messages, oldest first, starting after the item
    /// `after` or from the beginning.
    pub async fn messages(
        &self,
        thread_id: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<MessagePage, Error> {
        let mut query = vec![("limit", "100"), ("order", "asc")];
        query.extend(after.map(|after| ("after", after)));
        let path = format!("/chatkit/threads/{thread_id}/items");
        let request = self.request(Method::GET, &path, &query, None::<&()>)?;
        match self.json::<dto::Items>(request, READ, deadline).await {
            Ok(items) => Ok(items.into_messages()),
            Err(error) if error.cause == OpenAiCause::NotFound => {
                Ok(MessagePage { messages: Vec::new(), next: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether an error concerns only the requested object, for example one thread of this
    /// user, and is not an outage: other requests succeed. A 403 may apply to every request, so the
    /// user's threads are requested as well.
    pub async fn refuses_thread(&self, error: &Error, user: &str, deadline: Deadline) -> bool {
        match error.status {
            Some(403) => self.threads(user, deadline).await.is_ok(),
            Some(400 | 404 | 405 | 410 | 414 | 422) => true,
            // The id cannot be part of a path, so no request was sent.
            None => error.cause == OpenAiCause::AgentRefused,
            _ => false,
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&impl serde::Serialize>,
    ) -> Result<Request, Error> {
        let mut url =
            url::Url::parse(&format!("{}{path}", self.base)).map_err(|_| Error::invalid_request())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers.clone();
        if let Some(body) = body {
            let bytes = serde_json::to_vec(body).map_err(|_| Error::invalid_request())?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(bytes.into());
        }
        Ok(request)
    }

    /// Sends a request with the key. A request with a refused key was not performed, so it is
    /// repeated with a newer key.
    async fn send(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<HttpResponse, Error> {
        let send = |key: Arc<HeaderValue>| {
            let with_key = request.try_clone().map(|mut request| {
                request.headers_mut().insert(AUTHORIZATION, key.as_ref().clone());
                request
            });
            async move {
                let request = with_key.ok_or_else(Error::invalid_request)?;
                Ok(self.http.send(request, policy, deadline).await?)
            }
        };
        let is_refused = |answer: &Result<HttpResponse, Error>| {
            let answer = answer.as_ref().ok();
            answer.and_then(|answer| answer.cause(&TABLE, false)) == Some(OpenAiCause::KeyRejected)
        };
        self.key.send(send, is_refused).await
    }

    /// Sends a request to cancel or delete something. A 404 counts as success only if OpenAI itself
    /// sent it: one from a system in between does not prove that the object is gone.
    async fn send_idempotent(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let answer = self.send(request, policy, deadline).await?;
        match answer.accepted(&TABLE, false) {
            Ok(_) => Ok(()),
            Err(rejection) if rejection.cause == OpenAiCause::NotFound => Ok(()),
            Err(rejection) => Err(Error::from_rejection(rejection, answer.request_id())),
        }
    }

    /// Sends a request and parses the response. An error never quotes the body,
    /// which may hold a secret.
    async fn json<T: DeserializeOwned>(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let answer = self.send(request, policy, deadline).await?;
        let body = answer
            .accepted(&TABLE, false)
            .map_err(|rejection| Error::from_rejection(rejection, answer.request_id()))?;
        serde_json::from_slice(body).map_err(|_| Error::invalid_response(&answer))
    }
}

/// Parses `OPENAI_CHATKIT_SECRET` into the header that carries it.
///
/// # Errors
/// Returns a description of the expected format.
pub fn parse_api_key(value: &str) -> Result<HeaderValue, String> {
    let bearer = Secret::new(format!("Bearer {value}"));
    let mut header =
        HeaderValue::from_str(bearer.expose()).map_err(|_| "contains characters that no key has")?;
    require_length(value, MIN_KEY)?;
    header.set_sensitive(true);
    Ok(header)
}

/// Parses `OPENAI_CHATKIT_PROJECT`.
///
/// # Errors
/// Returns a description of the expected format.
pub fn parse_project(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value)
        .ok()
        .filter(|_| value.starts_with("proj_"))
        .ok_or_else(|| "must be a project id, which starts with proj_".to_owned())
}
