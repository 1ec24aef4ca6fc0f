//! What a handler is given: a request of a verified caller, on this function's route.

use std::collections::HashSet;

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
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
        let mut names = HashSet::new();
        if let Some((twice, _)) = form_urlencoded(&self.query).find(|(name, _)| !names.insert(name.clone())) {
            return Err(Error::invalid(vec![FieldError::at(twice, "is given twice")]));
        }
        let parser = serde_urlencoded::Deserializer::new(form_urlencoded(&self.query));
        serde_path_to_error::deserialize(parser).map_err(|error| {
            let name = error.path().to_string();
            let pointer = if name == "." { String::new() } else { name };
            Error::invalid(vec![FieldError::parsing(pointer, error.inner())])
        })
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

fn form_urlencoded(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}
