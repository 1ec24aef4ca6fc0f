//! A server on a loopback port whose connections can be cut and whose port can be closed and opened again.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt;

use super::latency::Meter;
use super::reset::{Answered, Reset};

/// Whether a server can be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// It accepts connections.
    Open,
    /// Its port is closed and its connections are cut: a new one is refused, as by a machine that is down.
    Closed,
}

/// A listening port whose router is given later, since what is served often needs to know the address.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// A running server; dropping it ends it and its connections.
pub struct Server {
    address: SocketAddr,
    reach: watch::Sender<Reach>,
    reached: watch::Receiver<Reach>,
    task: JoinHandle<()>,
    meter: Meter,
}

impl Port {
    /// A free port of the loopback interface.
    pub async fn free() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("opening a loopback port")?;
        let address = listener.local_addr().context("the address of a loopback port")?;
        Ok(Self { listener, address })
    }

    /// `http://127.0.0.1:PORT`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves from now on.
    pub fn serve(self, router: Router) -> Server {
        let (reach, wanted) = watch::channel(Reach::Open);
        let (report, reached) = watch::channel(Reach::Open);
        let meter = Meter::default();
        let served = Served { router, meter: meter.clone() };
        let task = tokio::spawn(run(self.listener, self.address, served, wanted, report));
        Server { address: self.address, reach, reached, task, meter }
    }
}

/// What connections are given to.
#[derive(Clone)]
struct Served {
    router: Router,
    meter: Meter,
}

impl Server {
    /// `http://127.0.0.1:PORT`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address as `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long it had each request.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Opens or closes the port, and returns once it is so.
    pub async fn set(&self, reach: Reach) {
        self.reach.send_replace(reach);
        let mut reached = self.reached.clone();
        let _ = reached.wait_for(|now| *now == reach).await;
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
    served: Served,
    mut wanted: watch::Receiver<Reach>,
    report: watch::Sender<Reach>,
) {
    let mut listener = Some(listener);
    loop {
        match listener.take() {
            Some(open) => accept(open, &served, &mut wanted).await,
            None => drop(wanted.wait_for(|reach| *reach == Reach::Open).await),
        }
        if wanted.has_changed().is_err() {
            return;
        }
        if *wanted.borrow_and_update() == Reach::Open {
            listener = Some(reopened(address).await);
        }
        report.send_replace(*wanted.borrow());
    }
}

/// Accepts until the port is to be closed; then closes it and cuts every connection.
async fn accept(listener: TcpListener, served: &Served, wanted: &mut watch::Receiver<Reach>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            closed = wanted.wait_for(|reach| *reach == Reach::Closed) => return drop(closed),
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(stream, served.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, Served { router, meter }: Served) {
    // An answer of two small writes would otherwise wait for the caller's acknowledgement.
    stream.set_nodelay(true).ok();
    let order = Arc::new(Notify::new());
    let reset = order.clone();
    // Boxed, because only a connection that can be moved gives its socket back.
    let service = service_fn(move |request| -> Pin<Box<dyn Future<Output = Answered> + Send>> {
        Box::pin(answer(router.clone(), reset.clone(), request))
    });
    let mut connection =
        http1::Builder::new().serve_connection(TokioIo::new(meter.measured(stream)), service);
    tokio::select! {
        _ = &mut connection => {}
        () = order.notified() => {
            // No time to linger: closing sends a reset instead of an orderly end.
            let stream = connection.into_parts().io.into_inner().into_inner();
            stream.set_zero_linger().ok();
        }
    }
}

/// What the router answers, unless it is that the connection be reset.
async fn answer(router: Router, reset: Arc<Notify>, request: Request<Incoming>) -> Answered {
    let response = router.oneshot(request.map(Body::new)).await?;
    if response.extensions().get::<Reset>().is_some() {
        reset.notify_one();
        return std::future::pending().await;
    }
    Ok(response)
}

/// The same port again. Nobody else takes it as a rule, but its old connections may linger for a moment.
async fn reopened(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
