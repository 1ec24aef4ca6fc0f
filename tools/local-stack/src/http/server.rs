//! A server on a loopback port that can be closed and opened again.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt;

use super::latency::LatencyRecorder;
use super::reset::{Reset, ServiceResult};

/// Whether a server accepts connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PortState {
    Open,
    /// The port is closed and all connections are cut. New ones are refused, as by a machine that
    /// is down.
    Closed,
}

/// A listening port whose router is set later, because the router often needs the address.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// A port that refuses connections. It is bound, so that no other server gets it.
pub struct ClosedPort {
    url: String,
    _socket: TcpSocket,
}

impl ClosedPort {
    pub fn free() -> Result<Self> {
        let socket = TcpSocket::new_v4().context("opening a socket")?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("binding a loopback port")?;
        let address = socket.local_addr().context("the address of a loopback port")?;
        Ok(Self { url: format!("http://{address}"), _socket: socket })
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A running server. Dropping it closes all connections.
pub struct Server {
    address: SocketAddr,
    state: watch::Sender<PortState>,
    actual_state: watch::Receiver<PortState>,
    task: JoinHandle<()>,
    latency: LatencyRecorder,
}

impl Port {
    /// Binds a free port of the loopback interface.
    pub async fn free() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("opening a loopback port")?;
        let address = listener.local_addr().context("the address of a loopback port")?;
        Ok(Self { listener, address })
    }

    /// Binds this port of the loopback interface, or a free one if it is in use.
    pub async fn preferred(port: u16) -> Result<Self> {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => {
                let address = listener.local_addr().context("the address of a loopback port")?;
                Ok(Self { listener, address })
            }
            Err(_) => Self::free().await,
        }
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn serve(self, router: Router) -> Server {
        let (state, requested) = watch::channel(PortState::Open);
        let (report, actual_state) = watch::channel(PortState::Open);
        let latency = LatencyRecorder::default();
        let served = ServedRouter { router, latency: latency.clone() };
        let task = tokio::spawn(run(self.listener, self.address, served, requested, report));
        Server { address: self.address, state, actual_state, task, latency }
    }
}

/// Handles the requests of each connection.
#[derive(Clone)]
struct ServedRouter {
    router: Router,
    latency: LatencyRecorder,
}

impl Server {
    /// `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Duration of each request.
    pub fn latency(&self) -> &LatencyRecorder {
        &self.latency
    }

    /// Opens or closes the port, and returns when it is done.
    pub async fn set(&self, state: PortState) {
        self.state.send_replace(state);
        let mut actual_state = self.actual_state.clone();
        let _ = actual_state.wait_for(|now| *now == state).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    listener: TcpListener,
    address: SocketAddr,
    served: ServedRouter,
    mut requested: watch::Receiver<PortState>,
    report: watch::Sender<PortState>,
) {
    let mut listener = Some(listener);
    loop {
        match listener.take() {
            Some(open) => accept(open, &served, &mut requested).await,
            None => drop(requested.wait_for(|state| *state == PortState::Open).await),
        }
        if requested.has_changed().is_err() {
            return;
        }
        if *requested.borrow_and_update() == PortState::Open {
            listener = Some(reopen(address).await);
        }
        report.send_replace(*requested.borrow());
    }
}

/// Accepts connections until the port is to be closed; then closes it and cuts every connection.
async fn accept(listener: TcpListener, served: &ServedRouter, requested: &mut watch::Receiver<PortState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            closed = requested.wait_for(|state| *state == PortState::Closed) => return drop(closed),
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(stream, served.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, ServedRouter { router, latency }: ServedRouter) {
    // A response of two small writes would otherwise wait for the client's acknowledgement.
    stream.set_nodelay(true).ok();
    let order = Arc::new(Notify::new());
    let reset = order.clone();
    // Boxed, because only a connection that can be moved returns its socket.
    let service = service_fn(move |request| -> Pin<Box<dyn Future<Output = ServiceResult> + Send>> {
        Box::pin(answer(router.clone(), reset.clone(), request))
    });
    let mut connection =
        http1::Builder::new().serve_connection(TokioIo::new(latency.measure(stream)), service);
    tokio::select! {
        _ = &mut connection => {}
        () = order.notified() => {
            // Without lingering, closing sends a reset instead of an orderly end.
            let stream = connection.into_parts().io.into_inner().into_inner();
            stream.set_zero_linger().ok();
        }
    }
}

/// Returns the router's response, or resets the connection if the response asks for it.
async fn answer(router: Router, reset: Arc<Notify>, request: Request<Incoming>) -> ServiceResult {
    let response = router.oneshot(request.map(Body::new)).await?;
    if response.extensions().get::<Reset>().is_some() {
        reset.notify_one();
        return std::future::pending().await;
    }
    Ok(response)
}

/// Binds the same port again. Old connections may linger for a moment.
async fn reopen(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
