//! A registry row that leads somewhere private is refused before anything is connected to.
//!
//! No packet can leave: names are looked up by the test's own resolver; connections are counted, and bound to the loopback
//! interface, from where the kernel lets none go anywhere else.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, Result, anyhow, ensure};
use local_stack::agents::{Agent, Settings};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use shared::clients::mcp::{CallError, Client, Credentials, Reason};
use shared::platform::egress::{EgressClient, LoopbackAllowlist, UrlRejection};
use tower::{Layer, Service};

use super::{call, completed, kept_in, pay, payables, payment, target};

/// A resolver that knows what a test tells it. Each lookup of a name takes its next answer, the last one for ever.
#[derive(Clone, Default)]
struct Names {
    known: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    lookups: Arc<AtomicUsize>,
}

impl Names {
    fn put(&self, name: &str, answers: &[&[&str]]) -> Result<()> {
        let parsed =
            |answer: &&[&str]| answer.iter().map(|address| address.parse()).collect::<Result<_, _>>();
        let answers = answers.iter().map(parsed).collect::<Result<_, _>>()?;
        self.known.lock().map_err(|_| anyhow!("poisoned"))?.insert(name.to_owned(), answers);
        Ok(())
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let mut known = self.known.lock().unwrap();
        let answers = known.entry(name.as_str().to_owned()).or_default();
        let answer =
            if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() };
        let answer = answer.into_iter().map(|ip| SocketAddr::new(ip, 0));
        Box::pin(async move { Ok(Box::new(answer) as Addrs) })
    }
}

/// Counts what is begun to be connected to.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

#[derive(Clone)]
struct Connector<S>(S, Counted);

impl<S> Layer<S> for Counted {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector(inner, self.clone())
    }
}

impl<R, S: Service<R>> Service<R> for Connector<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.1.0.fetch_add(1, Ordering::SeqCst);
        self.0.call(request)
    }
}

/// A client whose ways out are all the test's.
struct Confined {
    client: Client,
    names: Names,
    connections: Counted,
}

impl Confined {
    fn new(allowed: &str) -> Result<Self> {
        let (names, connections) = (Names::default(), Counted::default());
        let allowed = if allowed.is_empty() {
            Ok(LoopbackAllowlist::default())
        } else {
            LoopbackAllowlist::parse(allowed)
        };
        let counted = connections.clone();
        let confined = |builder| kept_in(builder).connector_layer(counted);
        let allowed = allowed.map_err(|reason| anyhow!(reason))?;
        let outbound = EgressClient::with_resolver(allowed, names.clone(), confined)
            .map_err(|e: Box<dyn Error + Send + Sync>| anyhow!(e))?;
        Ok(Self { client: Client::new(outbound, Credentials::default()), names, connections })
    }

    async fn error(&self, url: &str) -> Result<CallError> {
        let outcome = call(&self.client, &target(url), payment("k1", 7.0), None).await;
        outcome.err().with_context(|| format!("{url} was called"))
    }

    /// Lookups and connections since the last look.
    fn seen(&self) -> (usize, usize) {
        (self.names.lookups.swap(0, Ordering::SeqCst), self.connections.0.swap(0, Ordering::SeqCst))
    }
}

fn refused(refusal: UrlRejection) -> CallError {
    CallError::NotSent(Reason::Refused(refusal))
}

// NAME: mcp: a private address in a URL is not connected to
#[tokio::test]
async fn literals() -> Result<()> {
    let confined = Confined::new("")?;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "2852039166",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[2002:a9fe:a9fe::1]",
        "[64:ff9b::169.254.169.254]",
    ] {
        let error = confined.error(&format!("https://{host}/mcp")).await?;
        assert_eq!(error, refused(UrlRejection::Address), "{host}");
        ensure!(!error.is_retryable() && error.code() == "address_refused");
    }
    for (url, refusal) in [
        ("http://agents.example.com/mcp", UrlRejection::NotHttps),
        ("http://127.0.0.1:80/mcp", UrlRejection::NotHttps),
        ("file:///etc/passwd", UrlRejection::NotHttps),
        ("https://user:pass@agents.example.com/mcp", UrlRejection::Credentials),
        ("not a url", UrlRejection::Malformed),
    ] {
        assert_eq!(confined.error(url).await?, refused(refusal), "{url}");
    }
    assert_eq!(confined.seen(), (0, 0), "looked up or connected to");
    Ok(())
}

// NAME: mcp: a name with a private address is not connected to
#[tokio::test]
async fn names() -> Result<()> {
    let confined = Confined::new("")?;
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["169.254.169.254"],
        &["::ffff:10.0.0.1"],
        &["64:ff9b::a00:1"],
        &["fd00:ec2::254"],
        // One that is public does not make up for one that is not, wherever it stands.
        &["1.1.1.1", "10.0.0.1"],
        &["10.0.0.1", "1.1.1.1"],
        &["2606:4700:4700::1111", "::1"],
    ] {
        confined.names.put("agents.example.com", &[addresses])?;
        let error = confined.error("https://agents.example.com/mcp").await?;
        assert_eq!(error, refused(UrlRejection::Name), "{addresses:?}");
        ensure!(!error.is_retryable() && !error.outcome_is_unknown());
        assert_eq!(confined.seen().0, 1, "{addresses:?}");
    }
    confined.names.put("localhost", &[&["127.0.0.1"]])?;
    assert_eq!(confined.error("https://localhost/mcp").await?, refused(UrlRejection::Name));
    confined.names.put("nobody.example.com", &[&[]])?;
    let error = confined.error("https://nobody.example.com/mcp").await?;
    assert_eq!(error, CallError::NotSent(Reason::Unreachable));
    Ok(())
}

// NAME: mcp: a public name is looked up once and connected to at what was found
/// From the loopback interface the connection cannot be made, so it ends here; but it was let through, to what the one lookup found.
#[tokio::test]
async fn looked_up_once() -> Result<()> {
    let confined = Confined::new("")?;
    confined.names.put("agents.example.com", &[&["1.1.1.1"]])?;
    let error = confined.error("https://agents.example.com/mcp").await?;
    assert_eq!(error, CallError::NotSent(Reason::Unreachable));
    assert_eq!(confined.seen(), (1, 1));
    assert_eq!(confined.error("https://1.1.1.1/mcp").await?, CallError::NotSent(Reason::Unreachable));
    assert_eq!(confined.seen(), (0, 1), "an address is not looked up");
    Ok(())
}

// NAME: mcp: a name that changes its mind is refused
#[tokio::test]
async fn rebinding() -> Result<()> {
    let confined = Confined::new("")?;
    confined.names.put("agents.example.com", &[&["1.1.1.1"], &["127.0.0.1"]])?;
    let first = confined.error("https://agents.example.com/mcp").await?;
    let second = confined.error("https://agents.example.com/mcp").await?;
    assert_eq!((first, second), (CallError::NotSent(Reason::Unreachable), refused(UrlRejection::Name)));
    Ok(())
}

// NAME: mcp: the local stack's exception is one port
#[tokio::test]
async fn exceptions() -> Result<()> {
    let (ours, other) = (
        Agent::accounts_payable(Settings::default()).await?,
        Agent::accounts_payable(Settings::default()).await?,
    );
    let confined = Confined::new(&ours.address().to_string())?;
    completed(call(&confined.client, &target(&ours.url()), payment("k1", 7.0), None).await)?;
    assert_eq!(confined.error(&other.url()).await?, refused(UrlRejection::NotHttps));
    let over_tls = other.url().replace("http:", "https:");
    assert_eq!(confined.error(&over_tls).await?, refused(UrlRejection::Address));
    // A name for it is none.
    confined.names.put("localhost", &[&["127.0.0.1"]])?;
    let named = ours.url().replace("127.0.0.1", "localhost");
    assert_eq!(confined.error(&named).await?, refused(UrlRejection::NotHttps));
    ensure!(other.requests().is_empty());
    Ok(())
}

// NAME: mcp: an agent is called directly
#[tokio::test]
async fn direct() -> Result<()> {
    let (agent, client) = payables(Settings::default()).await?;
    completed(pay(&client, &agent, "k1").await)?;
    Ok(())
}

// NAME: mcp: no proxy of the environment is asked
/// The same in a process whose environment names a proxy, at a port where nobody is. It would look names up by itself.
#[tokio::test]
async fn proxies() -> Result<()> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "clients::mcp::egress::direct"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .kill_on_drop(true);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:9").env(name.to_lowercase(), "http://127.0.0.1:9");
    }
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}
