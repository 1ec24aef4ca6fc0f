//! The accept loop of the fakes. It owns each connection, so that a fault can reset it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use super::{LatencyRecorder, ServiceResult};

/// The largest accepted body: it fits several state variables of OpenAI's maximum size.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Handles a whole request. The [`Notify`] resets its connection.
pub trait Handler: Clone + Send + 'static {
    fn handle(
        self,
        reset: Arc<Notify>,
        head: Parts,
        body: Bytes,
    ) -> impl Future<Output = ServiceResult> + Send;
}

/// Serves until `stop` changes or its sender is dropped; then every connection closes.
pub async fn serve(
    listener: TcpListener,
    handler: impl Handler,
    latency: LatencyRecorder,
    mut stop: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(connection(stream, handler.clone(), latency.clone(), stop.clone()));
        }
    }
}

async fn connection(
    stream: TcpStream,
    handler: impl Handler,
    latency: LatencyRecorder,
    mut stop: watch::Receiver<()>,
) {
    // A response of two small writes would otherwise wait for the client's acknowledgement.
    stream.set_nodelay(true).ok();
    let reset = Arc::new(Notify::new());
    let order = reset.clone();
    // Boxed, because only a connection that can be moved returns its socket.
    let service = service_fn(move |request| -> Pin<Box<dyn Future<Output = ServiceResult> + Send>> {
        Box::pin(answer(handler.clone(), order.clone(), request))
    });
    let mut connection =
        http1::Builder::new().serve_connection(TokioIo::new(latency.measure(stream)), service);
    tokio::select! {
        _ = &mut connection => {}
        _ = stop.changed() => {}
        () = reset.notified() => {
            // Without lingering, closing sends a reset instead of an orderly end.
            let stream = connection.into_parts().io.into_inner().into_inner();
            stream.set_zero_linger().ok();
        }
    }
}

async fn answer(
    handler: impl Handler,
    reset: Arc<Notify>,
    request: hyper::Request<Incoming>,
) -> ServiceResult {
    let (parts, body) = request.into_parts();
    // The client disconnected in the middle of the request.
    let Ok(body) = to_bytes(Body::new(body), MAX_BODY_BYTES).await else {
        reset.notify_one();
        return std::future::pending().await;
    };
    handler.handle(reset, parts, body).await
}

/// A listener on a free port of the loopback interface.
pub async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await
}
