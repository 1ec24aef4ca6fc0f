//! Sends the requests of AWS's SDK with the HTTP client of the process: one TLS configuration, one
//! set of root certificates and no redirects. The SDK's own client would add a second HTTP stack,
//! and would read the certificates of the platform at every start.

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Client, Request, Response, StatusCode};

use super::{HttpClient, MAX_RESPONSE, TransportError};

#[derive(Debug)]
struct Connector(HttpClient);

/// Returns the client for the configuration of the SDK, which limits the time and repeats requests.
pub fn client(http: &HttpClient) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(http.clone()));
    http_client_fn(move |_, _| connector.clone())
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.client().clone();
        HttpConnectorFuture::new(send(client, request))
    }
}

async fn send(client: Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    // The requests for secrets have small bodies, which are never streams.
    let body = body.bytes().map(<[u8]>::to_vec).unwrap_or_default();
    let request = Request::try_from(lambda_http::http::Request::from_parts(parts, body));
    let request = request.map_err(|error| ConnectorError::user(error.into()))?;
    let (response, body) = receive(client, request).await.map_err(connector_error)?;
    let mut answer = lambda_http::http::Response::new(SdkBody::from(body));
    (*answer.status_mut(), *answer.headers_mut()) = (response.status(), response.headers().clone());
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
}

fn connector_error(error: TransportError) -> ConnectorError {
    match error {
        TransportError::TimedOut => ConnectorError::timeout(error.into()),
        error => ConnectorError::io(error.into()),
    }
}

/// Sends a request, and returns the status and the body of the response. The caller limits the time.
pub(crate) async fn exchange(
    http: &HttpClient,
    request: Request,
) -> Result<(StatusCode, Vec<u8>), TransportError> {
    let (response, body) = receive(http.client().clone(), request).await?;
    Ok((response.status(), body))
}

async fn receive(client: Client, request: Request) -> Result<(Response, Vec<u8>), TransportError> {
    let mut response = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_RESPONSE {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response, body))
}
