//! What a handler is given: a request of a verified caller, on this function's route.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    domain::{
        RequestContext,
        idempotency::{self, IdempotencyKey},
    },
    error::{Error, ErrorCode},
    http::{Response, body},
    platform::parse,
};

/// A request that has been authenticated and found to be on this function's route.
#[derive(Debug)]
pub struct Request {
    /// Who is calling, and until when they wait.
    pub context: RequestContext,
    pub(crate) path_id: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The id in the path.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedId`].
    pub fn id(&self) -> Result<Uuid, Error> {
        parse::uuid(&self.path_id).ok_or_else(|| Error::new(ErrorCode::MalformedId))
    }

    /// The body, which must be a JSON object.
    ///
    /// # Errors
    /// [`ErrorCode::UnsupportedMediaType`], [`ErrorCode::BodyTooLarge`], [`ErrorCode::MalformedBody`], or [`ErrorCode::InvalidRequest`] with a
    /// pointer to the mistake.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        body::parse_object(&self.headers, &self.body)
    }

    /// The body, whatever JSON it is.
    ///
    /// # Errors
    /// As for [`Request::json`].
    pub fn json_value(&self) -> Result<Value, Error> {
        body::parse_json(&self.headers, &self.body)
    }

    /// Checks that the body says nothing, where nothing is asked: it may be empty, or an object without fields. Who says
    /// something would otherwise think that it was kept.
    ///
    /// # Errors
    /// As for [`Request::json`].
    pub fn require_empty_body(&self) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        if self.body.is_empty() { Ok(()) } else { self.json::<Nothing>().map(drop) }
    }

    /// The query parameters, each given once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`].
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse::query(&self.query)
    }

    /// The idempotency key that the request came with, bound to its body.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidIdempotencyKey`], and those of [`Request::json`].
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Error> {
        let Some(key) = self.headers.get(idempotency::HEADER) else { return Ok(None) };
        // Nothing and an object without fields say the same, where a body says nothing.
        let body = if self.body.is_empty() { json!({}) } else { self.json_value()? };
        IdempotencyKey::new(key.as_bytes(), &body).map(Some)
    }

    /// Answers 304 where the caller has this very answer already, otherwise the answer with its `ETag`.
    pub fn conditional(&self, answer: Response) -> Response {
        let known = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        answer.with_etag(known)
    }
}
