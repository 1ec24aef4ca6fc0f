//! What a handler is given: a request of a verified caller, on this function's route.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    domain::{
        Call,
        idempotency::{self, Idempotency},
    },
    error::{Code, Error},
    http::{Answer, body},
    platform::parse,
};

/// A request that has been authenticated and found to be on this function's route.
#[derive(Debug)]
pub struct Request {
    /// Who is calling, and until when they wait.
    pub call: Call,
    pub(crate) path_id: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The id in the path.
    ///
    /// # Errors
    /// [`Code::MalformedId`].
    pub fn id(&self) -> Result<Uuid, Error> {
        parse::uuid(&self.path_id).ok_or_else(|| Error::new(Code::MalformedId))
    }

    /// The body, which must be a JSON object.
    ///
    /// # Errors
    /// [`Code::UnsupportedMediaType`], [`Code::BodyTooLarge`], [`Code::MalformedBody`], or [`Code::InvalidRequest`] with a
    /// pointer to the mistake.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        body::object(&self.headers, &self.body)
    }

    /// The body, whatever JSON it is.
    ///
    /// # Errors
    /// As for [`Request::json`].
    pub fn any_json(&self) -> Result<Value, Error> {
        body::value(&self.headers, &self.body)
    }

    /// Checks that the body says nothing, where nothing is asked: it may be empty, or an object without fields. Who says
    /// something would otherwise think that it was kept.
    ///
    /// # Errors
    /// As for [`Request::json`].
    pub fn without_body(&self) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        if self.body.is_empty() { Ok(()) } else { self.json::<Nothing>().map(drop) }
    }

    /// The query parameters, each given once.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`].
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse::query(&self.query)
    }

    /// The idempotency key that the request came with, bound to its body.
    ///
    /// # Errors
    /// [`Code::InvalidIdempotencyKey`], and those of [`Request::json`].
    pub fn idempotency(&self) -> Result<Option<Idempotency>, Error> {
        let Some(key) = self.headers.get(idempotency::HEADER) else { return Ok(None) };
        // Nothing and an object without fields say the same, where a body says nothing.
        let body = if self.body.is_empty() { json!({}) } else { self.any_json()? };
        Idempotency::new(key.as_bytes(), &body).map(Some)
    }

    /// Answers 304 where the caller has this very answer already, otherwise the answer with its `ETag`.
    pub fn unless_unchanged(&self, answer: Answer) -> Answer {
        let known = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        answer.with_etag(known)
    }
}
