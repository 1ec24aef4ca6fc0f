//! Client of the ChatKit API, hosted by OpenAI.
//! Source: <https://platform.openai.com/docs/api-reference/chatkit>

use std::time::Duration;

use reqwest::{
    Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;

use super::{ChatKitSession, CreateSession, Error, MessagePage, Thread, dto, error::Kind};
use crate::platform::{
    http_client::{
        Deadline, HttpClient, Idempotency, RetryDecision, RetryPolicy,
        classification::{Done, openai::TABLE},
    },
    parse::Timestamp,
    secret::Secret,
};

const READ: RetryPolicy = RetryPolicy {
    system: "openai",
    try_timeout: Duration::from_secs(3),
    retry_window: Duration::from_secs(2),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| answer.cause(&TABLE, false).map(Kind::retry_decision).unwrap_or_default(),
};

/// Cancelling what is cancelled already answers 404, which is as good.
const CANCEL: RetryPolicy = READ;

/// And so is deleting what is deleted.
const DELETE: RetryPolicy = READ;

/// A second session opened by a repeat would be one that no row knows.
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
    headers: HeaderMap,
}

impl ChatKit {
    /// A client of the API at `base`, with the headers that every call carries.
    pub fn new(http: HttpClient, base: &url::Url, key: HeaderValue, project: Option<HeaderValue>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, key);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("openai-beta", HeaderValue::from_static("chatkit_beta=v1"));
        headers.extend(project.map(|project| (PROJECT, project)));
        Self { http, base: base.as_str().trim_end_matches('/').to_owned(), headers }
    }

    /// The same without a project, to tell whether it is the project that is refused.
    #[cfg(feature = "doctor")]
    pub(crate) fn without_project(&self) -> Self {
        let mut unbound = self.clone();
        unbound.headers.remove(PROJECT);
        unbound
    }

    /// Opens a ChatKit session. Not safe to repeat: each call opens another.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_session(
        &self,
        session: &CreateSession,
        deadline: Deadline,
    ) -> Result<ChatKitSession, Error> {
        let body = dto::CreateSessionBody::new(session);
        let request = self.request(Method::POST, "/chatkit/sessions", &[], Some(&body))?;
        let session: dto::Session =
            self.json(request, CREATE, deadline).await.map_err(Error::for_create_session)?;
        session.into_chatkit_session().ok_or_else(|| Error::no_response(Kind::BadAnswer, None))
    }

    /// Cancels a ChatKit session. One that is gone already is cancelled.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_session(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        let path = format!("/chatkit/sessions/{id}/cancel");
        let request = self.request(Method::POST, &path, &[], None::<&()>)?;
        // The answer repeats the client secret: it is dropped unread.
        self.send_idempotent(request, CANCEL, deadline).await
    }

    /// The newest threads of a user, a hundred at most.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn threads(&self, user: &str, deadline: Deadline) -> Result<Vec<Thread>, Error> {
        // Without `user` OpenAI lists every thread of the project.
        let query = [("limit", "100"), ("order", "desc"), ("user", user)];
        let request = self.request(Method::GET, "/chatkit/threads", &query, None::<&()>)?;
        let list: dto::List<dto::Thread> = self.json(request, READ, deadline).await?;
        Ok(list.data.into_iter().filter_map(dto::Thread::into_thread).collect())
    }

    /// The ids of a user's threads, a hundred at most: after the thread with this id, or from the oldest; none when they have no
    /// thread left.
    ///
    /// # Errors
    /// See [`Error`]. A thread of somebody else's among them is [`Kind::BadAnswer`].
    pub async fn thread_ids(
        &self,
        user: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        // As above; and as these are to be deleted, nobody takes it on trust that they are this user's.
        let mut query = vec![("limit", "100"), ("order", "asc"), ("user", user)];
        query.extend(after.map(|after| ("after", after)));
        let request = self.request(Method::GET, "/chatkit/threads", &query, None::<&()>)?;
        let list: dto::List<dto::ThreadOwner> = self.json(request, READ, deadline).await?;
        let ids: Option<_> = list.data.into_iter().map(|thread| thread.into_owned_id(user)).collect();
        ids.ok_or_else(|| Error::no_response(Kind::BadAnswer, None))
    }

    /// Deletes a thread with all that was said in it. One that is gone already is deleted.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_thread(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        if !dto::is_path_safe(id) {
            return Err(Error::invalid_request());
        }
        let request = self.request(Method::DELETE, &format!("/chatkit/threads/{id}"), &[], None::<&()>)?;
        self.send_idempotent(request, DELETE, deadline).await
    }

    /// One thread, whoever's it is; `None` if there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn thread(&self, id: &str, deadline: Deadline) -> Result<Option<Thread>, Error> {
        let request = self.request(Method::GET, &format!("/chatkit/threads/{id}"), &[], None::<&()>)?;
        match self.json::<dto::Thread>(request, READ, deadline).await {
            Ok(thread) => Ok(thread.into_thread()),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When the newest item of a thread was made; `None` if there is no such thread, or nothing in it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn newest_item_time(&self, id: &str, deadline: Deadline) -> Result<Option<Timestamp>, Error> {
        let query = [("limit", "1"), ("order", "desc")];
        let path = format!("/chatkit/threads/{id}/items");
        let request = self.request(Method::GET, &path, &query, None::<&()>)?;
        match self.json::<dto::List<dto::Item>>(request, READ, deadline).await {
            Ok(items) => Ok(items.data.first().and_then(dto::Item::created_at)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of what was said in a thread, oldest first: after the item with this id, or from the beginning.
    ///
    /// # Errors
    /// See [`Error`].
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
            Err(error) if error.kind == Kind::NotFound => {
                Ok(MessagePage { messages: Vec::new(), next: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether an error is a refusal of the one thing that was asked about, a thread of this user say, and no outage: what else is
    /// asked for is answered. A 403 may be one of everything, so the user's list is asked for as well.
    pub async fn refuses_thread(&self, error: &Error, user: &str, deadline: Deadline) -> bool {
        match error.status {
            Some(403) => self.threads(user, deadline).await.is_ok(),
            Some(400 | 404 | 405 | 410 | 414 | 422) => true,
            // What its id does not allow to be asked for at all.
            None => error.kind == Kind::AgentRefused,
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

    /// Has something ended. Only OpenAI itself can say that it is gone already: a 404 of somebody in between says nothing of it.
    async fn send_idempotent(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let answer = self.http.send(request, policy, deadline).await?;
        match answer.accepted(&TABLE, false) {
            Ok(_) => Ok(()),
            Err(rejection) if rejection.cause == Kind::NotFound => Ok(()),
            Err(rejection) => Err(Error::from_rejection(rejection, answer.request_id())),
        }
    }

    /// A body that cannot be read is never quoted: it may hold a secret.
    async fn json<T: DeserializeOwned>(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let answer = self.http.send(request, policy, deadline).await?;
        let body = answer
            .accepted(&TABLE, false)
            .map_err(|rejection| Error::from_rejection(rejection, answer.request_id()))?;
        serde_json::from_slice(body).map_err(|_| Error::invalid_response(&answer))
    }
}

/// Parses `OPENAI_CHATKIT_SECRET` into the header that carries it.
///
/// # Errors
/// What a key looks like.
pub fn parse_api_key(value: &str) -> Result<HeaderValue, String> {
    let bearer = Secret::new(format!("Bearer {value}"));
    let mut header =
        HeaderValue::from_str(bearer.expose()).map_err(|_| "contains characters that no key has")?;
    header.set_sensitive(true);
    Ok(header)
}

/// Parses `OPENAI_CHATKIT_PROJECT`.
///
/// # Errors
/// What a project id looks like.
pub fn parse_project(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value)
        .ok()
        .filter(|_| value.starts_with("proj_"))
        .ok_or_else(|| "must be a project id, which starts with proj_".to_owned())
}
