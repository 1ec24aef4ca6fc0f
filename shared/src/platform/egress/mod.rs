//! Egress: requests to URLs from the agent registry, guarded against server-side request forgery
//! (SSRF). They may connect to public addresses only, over `https`.
//!
//! An operator of one organisation registers such a URL, and a process with our keys uses it inside
//! our network. So every connection is checked first: the URL, a literal address in it
//! ([`EgressClient::parse_allowed_url`]), and every address that a name resolves to. Redirects are
//! not followed. Proxies from the environment are not used, because a proxy would resolve names
//! itself. Source:
//! <https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html>

mod dns;
mod ip_ranges;
mod loopback_allowlist;
mod url_policy;

use std::{error::Error, sync::Arc, time::Duration};

use reqwest::{ClientBuilder, Request, Response, dns::Resolve};
use url::Url;

pub use dns::SystemResolver;
pub use loopback_allowlist::LoopbackAllowlist;
pub use url_policy::UrlRejection;

use crate::platform::tls as client;

/// HTTP client for URLs from the registry; one per process.
///
/// It is separate from [`HttpClient`](crate::platform::http_client::HttpClient), because the
/// allowed addresses are a property of a client and Supabase's addresses may be private.
#[derive(Clone, Debug)]
pub struct EgressClient {
    client: reqwest::Client,
    allowed: LoopbackAllowlist,
}

/// Reason why a request has no response.
#[derive(Debug)]
pub enum EgressError {
    /// The URL or its address is not allowed. The client did not connect.
    Refused(UrlRejection),
    /// The client could not connect.
    Unreachable,
    /// The client connected, and TLS failed: the server could not prove its identity
    /// or does not use TLS.
    Untrusted,
    /// The connection broke after it was established. The request may have arrived.
    Broken,
}

impl EgressClient {
    /// Creates a client with the system's resolver.
    ///
    /// # Errors
    /// Fails only if TLS cannot be set up.
    pub fn new(allowed: LoopbackAllowlist) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Self::with_resolver(allowed, SystemResolver, |builder| builder)
    }

    /// Creates a client with another resolver, whose addresses are checked in the same
    /// way. Tests change the client further with `also`, for example to a connector
    /// that counts instead of connecting.
    ///
    /// # Errors
    /// Fails only if TLS cannot be set up.
    pub fn with_resolver(
        allowed: LoopbackAllowlist,
        resolver: impl Resolve + 'static,
        also: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let guarded = dns::PublicOnlyResolver(Arc::new(resolver));
        let builder = client::client_builder()?.dns_resolver(guarded);
        // Agents' servers can be anywhere, and farther away than the systems we configure.
        let builder = builder.connect_timeout(Duration::from_secs(3));
        Ok(Self { client: also(builder).build()?, allowed })
    }

    /// Parses a URL from the registry and checks that it is allowed.
    pub fn parse_allowed_url(&self, url: &str) -> Result<Url, UrlRejection> {
        url_policy::parse_allowed_url(url, &self.allowed)
    }

    /// Sends a request and returns the response with its body unread. The caller limits how long
    /// and how large the body may be.
    ///
    /// # Errors
    /// A response with any status, including a redirect, is not an error.
    pub async fn send(&self, request: Request) -> Result<Response, EgressError> {
        url_policy::check_url(request.url(), &self.allowed).map_err(EgressError::Refused)?;
        self.client.execute(request).await.map_err(|error| EgressError::from(&error))
    }
}

impl From<&reqwest::Error> for EgressError {
    fn from(error: &reqwest::Error) -> Self {
        match find_rejection(error) {
            Some(refusal) => Self::Refused(refusal),
            None if is_tls_error(error) => Self::Untrusted,
            None if error.is_connect() => Self::Unreachable,
            None => Self::Broken,
        }
    }
}

/// Finds the resolver's rejection among the causes of an error.
fn find_rejection(error: &reqwest::Error) -> Option<UrlRejection> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<UrlRejection>() {
            return Some(*refusal);
        }
        cause = error.source();
    }
    None
}

/// Returns whether TLS is the cause. reqwest reports it as a connection
/// error, wrapped more than once.
fn is_tls_error(error: &(dyn Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source()) {
        _ if error.is::<rustls::Error>() => true,
        Some(cause) => is_tls_error(cause),
        None => false,
    }
}

impl std::fmt::Display for EgressError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable => f.write_str("could not be reached"),
            Self::Untrusted => f.write_str("cannot be trusted to be who it should be"),
            Self::Broken => f.write_str("broke the connection"),
        }
    }
}

impl Error for EgressError {}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn server_without_tls_is_untrusted_and_closed_port_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = EgressClient::new(LoopbackAllowlist::parse(&address.to_string()).unwrap()).unwrap();
        let send = || {
            let url = format!("https://{address}/").parse().unwrap();
            client.send(Request::new(reqwest::Method::GET, url))
        };
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Keep the connection open until the client has closed it.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(matches!(send().await, Err(EgressError::Untrusted)));
        server.join().unwrap();
        assert!(matches!(send().await, Err(EgressError::Unreachable)));
    }
}
