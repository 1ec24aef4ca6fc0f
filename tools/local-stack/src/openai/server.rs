//! The accept loop and its connections. Each is held here, so that a fault can reset one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use super::handler::{Shared, exchange};
use super::request::Request;
use crate::http::{Answered, Meter};

/// Largest body that is read: some state variables of OpenAI's greatest length fit.
const LARGEST_BODY: usize = 64 << 20;

/// Serves until `stop` changes or its sender is dropped; then every connection ends at once.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    meter: Meter,
    mut stop: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(connection(stream, shared.clone(), meter.clone(), stop.clone()));
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, meter: Meter, mut stop: watch::Receiver<()>) {
    // An answer of two small writes would otherwise wait for the caller's acknowledgement.
    stream.set_nodelay(true).ok();
    let reset = Arc::new(Notify::new());
    let order = reset.clone();
    // Boxed, because only a connection that can be moved gives its socket back.
    let service = service_fn(move |request| -> Pin<Box<dyn Future<Output = Answered> + Send>> {
        Box::pin(answer(shared.clone(), order.clone(), request))
    });
    let mut connection =
        http1::Builder::new().serve_connection(TokioIo::new(meter.measured(stream)), service);
    tokio::select! {
        _ = &mut connection => {}
        _ = stop.changed() => {}
        () = reset.notified() => {
            // No time to linger: closing sends a reset instead of an orderly end.
            let stream = connection.into_parts().io.into_inner().into_inner();
            stream.set_zero_linger().ok();
        }
    }
}

async fn answer(shared: Arc<Shared>, reset: Arc<Notify>, request: hyper::Request<Incoming>) -> Answered {
    let (parts, body) = request.into_parts();
    // Half a request is no request: its caller is gone.
    let Ok(body) = to_bytes(Body::new(body), LARGEST_BODY).await else {
        reset.notify_one();
        return std::future::pending().await;
    };
    let request = Request::new(parts.method, &parts.uri, parts.headers, body);
    Ok(exchange(shared, reset, request).await)
}

/// A listener on a free port of the loopback interface.
pub(super) async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await
}
