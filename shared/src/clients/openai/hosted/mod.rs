//! ChatKit as OpenAI hosts it.
//! Source: <https://platform.openai.com/docs/api-reference/chatkit>

mod wire;

use std::time::Duration;

use reqwest::{
    Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;

use super::{Error, Messages, Opened, Opening, Thread, error::Kind};
use crate::platform::{
    http_client::{
        Deadline, Http, Manner, Repeat, Verdict,
        classification::{Done, openai::TABLE},
    },
    parse::Timestamp,
    secret::Secret,
};

const READ: Manner = Manner {
    system: "openai",
    try_timeout: Duration::from_secs(3),
    patience: Duration::from_secs(2),
    repeat: Repeat::Safe,
    verdict: |answer| answer.cause(&TABLE, false).map(Kind::verdict).unwrap_or_default(),
};

/// Cancelling what is cancelled already answers 404, which is as good.
const CANCEL: Manner = READ;

/// And so is deleting what is deleted.
const DELETE: Manner = READ;

/// A second session opened by a repeat would be one that no row knows.
const OPEN: Manner = Manner {
    try_timeout: Duration::from_secs(6),
    repeat: Repeat::OnlyIfNotDone,
    verdict: |answer| match answer.cause(&TABLE, false) {
        Some(kind) => {
            Verdict { again: kind.verdict().again && kind.meaning().done == Done::No, ..kind.verdict() }
        }
        None => Verdict::default(),
    },
    ..READ
};

const PROJECT: HeaderName = HeaderName::from_static("openai-project");

/// OpenAI's ChatKit API, with a key of ours.
#[derive(Clone)]
pub struct Hosted {
    http: Http,
    base: String,
    headers: HeaderMap,
}

impl Hosted {
    /// A client of the API at `base`, with the headers that every call carries.
    pub fn new(http: Http, base: &url::Url, key: HeaderValue, project: Option<HeaderValue>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, key);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("openai-beta", HeaderValue::from_static("chatkit_beta=v1"));
        headers.extend(project.map(|project| (PROJECT, project)));
        Self { http, base: base.as_str().trim_end_matches('/').to_owned(), headers }
    }

    #[cfg(feature = "doctor")]
    pub(super) fn unbound(&self) -> Self {
        let mut unbound = self.clone();
        unbound.headers.remove(PROJECT);
        unbound
    }

    pub(super) async fn open(&self, opening: &Opening, deadline: Deadline) -> Result<Opened, Error> {
        let body = wire::CreateSession::new(opening);
        let request = self.request(Method::POST, "/chatkit/sessions", &[], Some(&body))?;
        let session: wire::Session = self.json(request, OPEN, deadline).await.map_err(Error::on_opening)?;
        session.opened().ok_or_else(|| Error::unanswered(Kind::BadAnswer, None))
    }

    pub(super) async fn cancel(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        let path = format!("/chatkit/sessions/{id}/cancel");
        let request = self.request(Method::POST, &path, &[], None::<&()>)?;
        // The answer repeats the client secret: it is dropped unread.
        self.gone(request, CANCEL, deadline).await
    }

    pub(super) async fn threads(&self, user: &str, deadline: Deadline) -> Result<Vec<Thread>, Error> {
        // Without `user` OpenAI lists every thread of the project.
        let query = [("limit", "100"), ("order", "desc"), ("user", user)];
        let request = self.request(Method::GET, "/chatkit/threads", &query, None::<&()>)?;
        let list: wire::List<wire::Thread> = self.json(request, READ, deadline).await?;
        Ok(list.data.into_iter().filter_map(wire::Thread::into_thread).collect())
    }

    pub(super) async fn thread_ids(
        &self,
        user: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        // As above; and as these are to be deleted, nobody takes it on trust that they are this user's.
        let mut query = vec![("limit", "100"), ("order", "asc"), ("user", user)];
        query.extend(after.map(|after| ("after", after)));
        let request = self.request(Method::GET, "/chatkit/threads", &query, None::<&()>)?;
        let list: wire::List<wire::Owned> = self.json(request, READ, deadline).await?;
        let ids: Option<_> = list.data.into_iter().map(|thread| thread.id_if_of(user)).collect();
        ids.ok_or_else(|| Error::unanswered(Kind::BadAnswer, None))
    }

    pub(super) async fn delete_thread(&self, id: &str, deadline: Deadline) -> Result<(), Error> {
        if !wire::is_plain(id) {
            return Err(Error::unsendable());
        }
        let request = self.request(Method::DELETE, &format!("/chatkit/threads/{id}"), &[], None::<&()>)?;
        self.gone(request, DELETE, deadline).await
    }

    pub(super) async fn thread(&self, id: &str, deadline: Deadline) -> Result<Option<Thread>, Error> {
        let request = self.request(Method::GET, &format!("/chatkit/threads/{id}"), &[], None::<&()>)?;
        match self.json::<wire::Thread>(request, READ, deadline).await {
            Ok(thread) => Ok(thread.into_thread()),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn newest_item(&self, id: &str, deadline: Deadline) -> Result<Option<Timestamp>, Error> {
        let query = [("limit", "1"), ("order", "desc")];
        let path = format!("/chatkit/threads/{id}/items");
        let request = self.request(Method::GET, &path, &query, None::<&()>)?;
        match self.json::<wire::List<wire::Item>>(request, READ, deadline).await {
            Ok(items) => Ok(items.data.first().and_then(wire::Item::created_at)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn messages(
        &self,
        thread_id: &str,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<Messages, Error> {
        let mut query = vec![("limit", "100"), ("order", "asc")];
        query.extend(after.map(|after| ("after", after)));
        let path = format!("/chatkit/threads/{thread_id}/items");
        let request = self.request(Method::GET, &path, &query, None::<&()>)?;
        match self.json::<wire::Items>(request, READ, deadline).await {
            Ok(items) => Ok(items.into_messages()),
            Err(error) if error.kind == Kind::NotFound => Ok(Messages { messages: Vec::new(), next: None }),
            Err(error) => Err(error),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&impl serde::Serialize>,
    ) -> Result<Request, Error> {
        let mut url = url::Url::parse(&format!("{}{path}", self.base)).map_err(|_| Error::unsendable())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers.clone();
        if let Some(body) = body {
            let bytes = serde_json::to_vec(body).map_err(|_| Error::unsendable())?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(bytes.into());
        }
        Ok(request)
    }

    /// Has something ended. Only OpenAI itself can say that it is gone already: a 404 of somebody in between says nothing of it.
    async fn gone(&self, request: Request, manner: Manner, deadline: Deadline) -> Result<(), Error> {
        let answer = self.http.send(request, manner, deadline).await?;
        match answer.accepted(&TABLE, false) {
            Ok(_) => Ok(()),
            Err(rejection) if rejection.cause == Kind::NotFound => Ok(()),
            Err(rejection) => Err(Error::rejected(rejection, answer.request_id())),
        }
    }

    /// A body that cannot be read is never quoted: it may hold a secret.
    async fn json<T: DeserializeOwned>(
        &self,
        request: Request,
        manner: Manner,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let answer = self.http.send(request, manner, deadline).await?;
        let body = answer
            .accepted(&TABLE, false)
            .map_err(|rejection| Error::rejected(rejection, answer.request_id()))?;
        serde_json::from_slice(body).map_err(|_| Error::bad_answer(&answer))
    }
}

/// Parses `OPENAI_CHATKIT_SECRET` into the header that carries it.
///
/// # Errors
/// What a key looks like.
pub fn api_key(value: &str) -> Result<HeaderValue, String> {
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
pub fn project(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value)
        .ok()
        .filter(|_| value.starts_with("proj_"))
        .ok_or_else(|| "must be a project id, which starts with proj_".to_owned())
}
