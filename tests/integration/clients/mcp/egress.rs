//! URLs of agents that lead to private addresses, which are rejected before a connection.
//!
//! No packet leaves the host: a fake resolver resolves names, and connections are bound to the
//! loopback interface.

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

use super::{bind_to_loopback, call, completed, pay, payment, start_payables, target};

#[tokio::test]
async fn private_address_in_url_is_rejected() -> Result<()> {
    let confined = ConfinedClient::new("")?;
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
        assert_eq!(error, rejected(UrlRejection::Address), "{host}");
        ensure!(!error.is_retryable() && error.code() == "address_refused");
    }
    for (url, rejection) in [
        ("http://agents.example.com/mcp", UrlRejection::NotHttps),
        ("http://127.0.0.1:80/mcp", UrlRejection::NotHttps),
        ("file:///etc/passwd", UrlRejection::NotHttps),
        ("https://user:pass@agents.example.com/mcp", UrlRejection::Credentials),
        ("not a url", UrlRejection::Malformed),
    ] {
        assert_eq!(confined.error(url).await?, rejected(rejection), "{url}");
    }
    assert_eq!(confined.take_counts(), (0, 0), "expected neither lookup nor connection");
    Ok(())
}

#[tokio::test]
async fn hostname_with_private_address_is_rejected() -> Result<()> {
    let confined = ConfinedClient::new("")?;
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["169.254.169.254"],
        &["::ffff:10.0.0.1"],
        &["64:ff9b::a00:1"],
        &["fd00:ec2::254"],
        // A public address does not permit a private one, in either order.
        &["1.1.1.1", "10.0.0.1"],
        &["10.0.0.1", "1.1.1.1"],
        &["2606:4700:4700::1111", "::1"],
    ] {
        confined.resolver.put("agents.example.com", &[addresses])?;
        let error = confined.error("https://agents.example.com/mcp").await?;
        assert_eq!(error, rejected(UrlRejection::Name), "{addresses:?}");
        ensure!(!error.is_retryable() && !error.outcome_is_unknown());
        assert_eq!(confined.take_counts().0, 1, "{addresses:?}");
    }
    confined.resolver.put("localhost", &[&["127.0.0.1"]])?;
    assert_eq!(confined.error("https://localhost/mcp").await?, rejected(UrlRejection::Name));
    confined.resolver.put("unknown.example.com", &[&[]])?;
    let error = confined.error("https://unknown.example.com/mcp").await?;
    assert_eq!(error, CallError::NotSent(Reason::Unreachable));
    Ok(())
}

/// The guard permits the connection, which then fails on the loopback interface.
#[tokio::test]
async fn public_hostname_is_resolved_once() -> Result<()> {
    let confined = ConfinedClient::new("")?;
    confined.resolver.put("agents.example.com", &[&["1.1.1.1"]])?;
    let error = confined.error("https://agents.example.com/mcp").await?;
    assert_eq!(error, CallError::NotSent(Reason::Unreachable));
    assert_eq!(confined.take_counts(), (1, 1));
    assert_eq!(confined.error("https://1.1.1.1/mcp").await?, CallError::NotSent(Reason::Unreachable));
    assert_eq!(confined.take_counts(), (0, 1), "expected no lookup of an address");
    Ok(())
}

#[tokio::test]
async fn dns_rebinding_is_rejected() -> Result<()> {
    let confined = ConfinedClient::new("")?;
    confined.resolver.put("agents.example.com", &[&["1.1.1.1"], &["127.0.0.1"]])?;
    let first = confined.error("https://agents.example.com/mcp").await?;
    let second = confined.error("https://agents.example.com/mcp").await?;
    assert_eq!((first, second), (CallError::NotSent(Reason::Unreachable), rejected(UrlRejection::Name)));
    Ok(())
}

#[tokio::test]
async fn loopback_allowlist_permits_one_port() -> Result<()> {
    let (ours, other) = (
        Agent::accounts_payable(Settings::default()).await?,
        Agent::accounts_payable(Settings::default()).await?,
    );
    let confined = ConfinedClient::new(&ours.address().to_string())?;
    completed(call(&confined.client, &target(&ours.url()), payment("k1", 7.0), None).await)?;
    assert_eq!(confined.error(&other.url()).await?, rejected(UrlRejection::NotHttps));
    let over_tls = other.url().replace("http:", "https:");
    assert_eq!(confined.error(&over_tls).await?, rejected(UrlRejection::Address));
    // A name of the address is not permitted.
    confined.resolver.put("localhost", &[&["127.0.0.1"]])?;
    let named = ours.url().replace("127.0.0.1", "localhost");
    assert_eq!(confined.error(&named).await?, rejected(UrlRejection::NotHttps));
    ensure!(other.requests().is_empty());
    Ok(())
}

#[tokio::test]
async fn agent_is_called_directly() -> Result<()> {
    let (agent, client) = start_payables(Settings::default()).await?;
    completed(pay(&client, &agent, "k1").await)?;
    Ok(())
}

/// Runs the test above in a process whose environment names a proxy. No process listens on its
/// port.
#[tokio::test]
async fn proxy_of_the_environment_is_ignored() -> Result<()> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "clients::mcp::egress::agent_is_called_directly"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .kill_on_drop(true);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:9").env(name.to_lowercase(), "http://127.0.0.1:9");
    }
    let output = command.output().await?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
    Ok(())
}

/// Each lookup of a name takes the next entry of its list, and the last entry repeats.
#[derive(Clone, Default)]
struct FakeResolver {
    addresses: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    lookups: Arc<AtomicUsize>,
}

impl FakeResolver {
    fn put(&self, name: &str, answers: &[&[&str]]) -> Result<()> {
        let parsed =
            |answer: &&[&str]| answer.iter().map(|address| address.parse()).collect::<Result<_, _>>();
        let answers = answers.iter().map(parsed).collect::<Result<_, _>>()?;
        self.addresses.lock().map_err(|_| anyhow!("poisoned"))?.insert(name.to_owned(), answers);
        Ok(())
    }
}

impl Resolve for FakeResolver {
    fn resolve(&self, name: Name) -> Resolving {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let mut addresses = self.addresses.lock().unwrap();
        let answers = addresses.entry(name.as_str().to_owned()).or_default();
        let answer =
            if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() };
        let answer = answer.into_iter().map(|ip| SocketAddr::new(ip, 0));
        Box::pin(async move { Ok(Box::new(answer) as Addrs) })
    }
}

/// Counts the attempts to connect.
#[derive(Clone, Default)]
struct ConnectionCounter(Arc<AtomicUsize>);

#[derive(Clone)]
struct Connector<S>(S, ConnectionCounter);

impl<S> Layer<S> for ConnectionCounter {
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

/// A client with a fake resolver, bound to the loopback interface.
struct ConfinedClient {
    client: Client,
    resolver: FakeResolver,
    connections: ConnectionCounter,
}

impl ConfinedClient {
    fn new(allowed: &str) -> Result<Self> {
        let (resolver, connections) = (FakeResolver::default(), ConnectionCounter::default());
        let allowed = if allowed.is_empty() {
            Ok(LoopbackAllowlist::default())
        } else {
            LoopbackAllowlist::parse(allowed)
        };
        let counter = connections.clone();
        let configure = |builder| bind_to_loopback(builder).connector_layer(counter);
        let allowed = allowed.map_err(|reason| anyhow!(reason))?;
        let egress = EgressClient::with_resolver(allowed, resolver.clone(), configure)
            .map_err(|error: Box<dyn Error + Send + Sync>| anyhow!(error))?;
        Ok(Self { client: Client::new(egress, Credentials::default()), resolver, connections })
    }

    async fn error(&self, url: &str) -> Result<CallError> {
        let outcome = call(&self.client, &target(url), payment("k1", 7.0), None).await;
        outcome.err().with_context(|| format!("{url} was called"))
    }

    /// Returns and resets the numbers of lookups and connections.
    fn take_counts(&self) -> (usize, usize) {
        (self.resolver.lookups.swap(0, Ordering::SeqCst), self.connections.0.swap(0, Ordering::SeqCst))
    }
}

fn rejected(rejection: UrlRejection) -> CallError {
    CallError::NotSent(Reason::Refused(rejection))
}
