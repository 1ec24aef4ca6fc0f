//! The request that a handler gets.

use lambda_http::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        RequestContext,
        idempotency::IdempotencyKey,
        pagination::{Cursor, PageRequest, PageSize},
    },
    error::{Error, ErrorCode},
    http::{Response, body},
    platform::parse,
};

/// A request that is authenticated and matches the function's route.
#[derive(Debug)]
pub struct Request {
    pub context: RequestContext,
    pub(crate) path_id: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Parses the id in the path.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedId`] if it is not a UUID.
    pub fn id(&self) -> Result<Uuid, Error> {
        parse::uuid(&self.path_id).ok_or_else(|| Error::new(ErrorCode::MalformedId))
    }

    /// Parses the body, which must be a JSON object.
    ///
    /// # Errors
    /// Returns [`ErrorCode::UnsupportedMediaType`], [`ErrorCode::UnsupportedContentEncoding`],
    /// [`ErrorCode::BodyTooLarge`], [`ErrorCode::MalformedBody`], or [`ErrorCode::InvalidRequest`]
    /// with a pointer to the error.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        body::parse_object(&self.headers, &self.body)
    }

    /// Parses the body, which may be empty.
    ///
    /// # Errors
    /// The same as [`Request::json`].
    pub fn optional_json<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        if self.body.is_empty() { Ok(None) } else { self.json().map(Some) }
    }

    /// Parses the body as any JSON value.
    ///
    /// # Errors
    /// The same as [`Request::json`].
    pub fn json_value(&self) -> Result<Value, Error> {
        body::parse_json(&self.headers, &self.body)
    }

    /// Requires an empty body or an empty JSON object, for endpoints without input. A caller that
    /// sends fields would otherwise assume that they had an effect.
    ///
    /// # Errors
    /// The same as [`Request::json`].
    pub fn require_empty_body(&self) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        if self.body.is_empty() { Ok(()) } else { self.json::<Nothing>().map(drop) }
    }

    /// Parses the query parameters. Each may be given once.
    ///
    /// # Errors
    /// Returns [`ErrorCode::InvalidRequest`] with the invalid parameters.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse::query(&self.query)
    }

    /// Parses the query parameters of a list without filters: `limit` and `cursor`.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedCursor`], or the errors of [`Request::query`].
    pub fn page<C: Cursor>(&self, default: PageSize) -> Result<PageRequest<C>, Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct PageQuery {
            limit: Option<PageSize>,
            cursor: Option<String>,
        }
        let PageQuery { limit, cursor } = self.query()?;
        PageRequest::new(limit.unwrap_or(default), cursor.as_deref())
    }

    /// Returns the idempotency key of the request, bound to its body, if it has one.
    ///
    /// # Errors
    /// Returns [`ErrorCode::InvalidIdempotencyKey`], or the errors of [`Request::json`].
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Error> {
        body::idempotency_key(&self.headers, &self.body)
    }

    /// Adds an `ETag`. Replaces the response by 304 if `If-None-Match` matches (RFC 9110, section
    /// 13.1.2).
    pub fn conditional(&self, answer: Response) -> Response {
        let known = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        answer.with_etag(known)
    }
}
