//! Responses whose body is read while it arrives.

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};

use super::{HttpResponse, TransportError};

/// The response to a request for a stream.
#[derive(Debug)]
pub enum Streamed {
    /// A success, with its body unread.
    Body(ResponseStream),
    Response(HttpResponse),
}

/// The body of a success. Dropping it closes the connection.
#[derive(Debug)]
pub struct ResponseStream {
    response: Response,
}

impl ResponseStream {
    pub(super) fn new(response: Response) -> Self {
        Self { response }
    }

    /// Returns the next bytes, or `None` at the end of the body. The caller limits how long and how
    /// large the body may be. This function is cancel safe.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        self.response.chunk().await.map_err(TransportError::from)
    }

    /// Returns whether the response has this media type, with any parameters.
    pub fn has_content_type(&self, media_type: &str) -> bool {
        let value = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(media_type)
    }

    /// Returns the other system's id of the request, for its support.
    pub fn request_id(&self) -> Option<String> {
        super::classification::request_id(self.response.headers())
    }

    /// Returns a success without a body, to record it like any other response.
    pub(super) fn head(&self) -> HttpResponse {
        head(self.response.status())
    }
}

fn head(status: StatusCode) -> HttpResponse {
    HttpResponse { status, headers: HeaderMap::new(), body: Bytes::new() }
}
