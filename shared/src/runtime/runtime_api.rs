//! Sends streamed responses to Lambda's Runtime API without delay.
//!
//! lambda_runtime 1.5 does not set `TCP_NODELAY`, and accepts no client that does. The kernel then
//! holds a small part of a response back until the Runtime API has acknowledged the previous one,
//! which takes up to 40 ms. So this module sends the response. The runtime receives the events.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, future};
use hyper_util::client::legacy::connect::HttpConnector;
use lambda_http::http::{Method, header};
use lambda_runtime::{
    LambdaEvent, LambdaInvocation, Runtime, StreamResponse, layers::TracingLayer, service_fn, tower::Layer,
};
use lambda_runtime_api_client::{
    PooledClient,
    body::{Body, sender::Sender},
    build_request,
};

use crate::runtime::{event::Payload, http_service::BoxError, streaming::StreamedBody};

/// Separates the prelude of a response from its body.
const DELIMITER: [u8; 8] = [0; 8];

/// Identifies an attempt of an invocation, so that Lambda can reject the response of an earlier
/// one.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

/// Handles events until Lambda ends the process.
pub(super) async fn run_streaming<H, F>(handler: H) -> Result<(), BoxError>
where
    H: Fn(LambdaEvent<Payload>) -> F + Clone + Send + 'static,
    F: Future<Output = StreamResponse<StreamedBody>> + Send + 'static,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Arc::new(PooledClient::builder().with_connector(connector).build());
    let responder = service_fn(move |invocation: LambdaInvocation| {
        respond(Arc::clone(&client), handler.clone(), invocation)
    });
    let unused = service_fn(|_: LambdaEvent<Payload>| future::ready(Ok::<_, BoxError>(())));
    Runtime::new(unused).layer(Replacement(responder)).layer(TracingLayer::new()).run_concurrent().await
}

/// Replaces the service that it is applied to.
struct Replacement<R>(R);

impl<S, R: Clone> Layer<S> for Replacement<R> {
    type Service = R;

    fn layer(&self, _replaced: S) -> R {
        self.0.clone()
    }
}

/// Handles an event and sends the response part by part.
///
/// # Errors
/// Fails if the Runtime API cannot be reached. The process then ends.
async fn respond<H, F>(
    client: Arc<PooledClient>,
    handler: H,
    invocation: LambdaInvocation,
) -> Result<(), BoxError>
where
    H: Fn(LambdaEvent<Payload>) -> F,
    F: Future<Output = StreamResponse<StreamedBody>>,
{
    let LambdaInvocation { parts, body, context } = invocation;
    let mut request = build_request()
        .method(Method::POST)
        .uri(format!("/2018-06-01/runtime/invocation/{}/response", context.request_id))
        .header(header::CONTENT_TYPE, "application/vnd.awslambda.http-integration-response")
        .header(header::TRANSFER_ENCODING, "chunked")
        .header("lambda-runtime-function-response-mode", "streaming");
    if let Some(id) = parts.headers.get(INVOCATION_ID) {
        request = request.header(INVOCATION_ID, id);
    }
    let response = handler(LambdaEvent::new(Payload::parse(&body), context)).await;
    let prelude = serde_json::to_vec(&response.metadata_prelude)?;
    let (sender, body) = Body::channel();
    tokio::spawn(send(sender, prelude.into(), response.stream));
    let status = client.call(request.body(body)?).await?.status();
    if !status.is_success() {
        tracing::error!(%status, "Lambda rejected the response");
    }
    Ok(())
}

/// Sends the prelude, the delimiter and the body, until the connection breaks. The first two are
/// parts of their own, because `cargo lambda watch` reads them as such.
async fn send(mut sender: Sender, prelude: Bytes, mut body: StreamedBody) {
    if sender.send_data(prelude).await.is_err() {
        return;
    }
    let mut next = Some(Ok(Bytes::from_static(&DELIMITER)));
    while let Some(Ok(part)) = next {
        if sender.send_data(part).await.is_err() {
            return;
        }
        next = body.next().await;
    }
}
