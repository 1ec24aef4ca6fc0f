//! What a handler is given: a request of a verified caller, on this function's route.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{Answer, body};
use crate::{
    call::Call,
    error::{Code, Error, FieldError},
    idempotency::{self, Idempotency},
};

/// A request that has been authenticated and found to be on this function's route.
#[derive(Debug)]
pub struct Request {
    /// Who is calling, and until when they wait.
    pub call: Call,
    pub(super) path_id: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The id in the path.
    ///
    /// # Errors
    /// [`Code::MalformedId`].
    pub fn id(&self) -> Result<Uuid, Error> {
        // Only the form with hyphens: one session, one path.
        let hyphenated = Some(&self.path_id).filter(|id| id.len() == 36);
        hyphenated.and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| Error::new(Code::MalformedId))
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// [`Code::UnsupportedMediaType`], [`Code::BodyTooLarge`], [`Code::MalformedBody`], or [`Code::InvalidRequest`] with a
    /// pointer to the mistake.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        body::json(&self.headers, &self.body)
    }

    /// The query parameters.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`].
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let parser = serde_urlencoded::Deserializer::new(form_urlencoded(&self.query));
        serde_path_to_error::deserialize(parser).map_err(|error| {
            let name = error.path().to_string();
            let pointer = if name == "." { String::new() } else { name };
            Error::invalid(vec![FieldError::at(pointer, error.into_inner().to_string())])
        })
    }

    /// The idempotency key that the request came with, bound to its body.
    ///
    /// # Errors
    /// [`Code::InvalidIdempotencyKey`], and those of [`Request::json`].
    pub fn idempotency(&self) -> Result<Option<Idempotency>, Error> {
        let Some(key) = self.headers.get(idempotency::HEADER) else { return Ok(None) };
        let body = if self.body.is_empty() { Value::Null } else { self.json()? };
        Idempotency::new(key.as_bytes(), &body).map(Some)
    }

    /// Answers 304 where the caller has this very answer already, otherwise the answer with its `ETag`.
    pub fn unless_unchanged(&self, answer: Answer) -> Answer {
        let known = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        answer.with_etag(known)
    }
}

fn form_urlencoded(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}
