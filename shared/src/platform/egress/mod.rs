//! Where a function may connect to on behalf of a row of the registry: public addresses, over `https`.
//!
//! A URL that an operator of one organisation registered is used inside our network, by a process with our keys. So what it
//! leads to is checked before every connection: the URL itself, a literal address in it ([`Outbound::admit`]), and every
//! address that a name resolves to. No redirect is followed, and no proxy of the environment is asked, which would look names
//! up by itself. Source: <https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html>

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

/// The way to what the registry names; one a process.
///
/// A client of its own beside [`crate::platform::http_client::Http`]: which addresses a name may have is a matter of the client, and Supabase's
/// may well be private.
#[derive(Clone, Debug)]
pub struct EgressClient {
    client: reqwest::Client,
    allowed: LoopbackAllowlist,
}

/// Why no answer came.
#[derive(Debug)]
pub enum EgressError {
    /// It may not be connected to, and was not.
    Refused(UrlRejection),
    /// It could not be connected to.
    Unreachable,
    /// It was connected to, and TLS found it not to be who it should be, or to speak no TLS.
    Untrusted,
    /// The connection broke once it was there: the request may have arrived.
    Broken,
}

impl EgressClient {
    /// By the system's resolver.
    ///
    /// # Errors
    /// Only where TLS cannot be set up at all.
    pub fn new(allowed: LoopbackAllowlist) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Self::with_resolver(allowed, SystemResolver, |builder| builder)
    }

    /// By another resolver, whose answers are checked like the system's, and with what else a test does to the client (a
    /// connector that counts instead of connecting).
    ///
    /// # Errors
    /// Only where TLS cannot be set up at all.
    pub fn with_resolver(
        allowed: LoopbackAllowlist,
        resolver: impl Resolve + 'static,
        also: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let guarded = dns::PublicOnlyResolver(Arc::new(resolver));
        let builder = client::client_builder()?.dns_resolver(guarded);
        // Somebody else's server, anywhere in the world: farther away than our own.
        let builder = builder.connect_timeout(Duration::from_secs(3));
        Ok(Self { client: also(builder).build()?, allowed })
    }

    /// Parses a URL of the registry, if it may be asked.
    ///
    /// # Errors
    /// Why it may not.
    pub fn parse_allowed_url(&self, url: &str) -> Result<Url, UrlRejection> {
        url_policy::parse_allowed_url(url, &self.allowed)
    }

    /// Sends a request and hands on the answer, its body unread: how long and how large it may be is the caller's affair.
    ///
    /// # Errors
    /// See [`Failure`]. An answer of any status is an answer, a redirect too.
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

/// The resolver's refusal, somewhere among an error's causes.
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

/// Whether the cause is one of TLS, which comes as an error of the connection, wrapped more than once.
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
    async fn what_is_no_tls_is_told_from_what_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let outbound = EgressClient::new(LoopbackAllowlist::parse(&address.to_string()).unwrap()).unwrap();
        let ask = || {
            let url = format!("https://{address}/").parse().unwrap();
            outbound.send(Request::new(reqwest::Method::GET, url))
        };
        let plain = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Kept open until the other side is through with it.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(matches!(ask().await, Err(EgressError::Untrusted)));
        plain.join().unwrap();
        assert!(matches!(ask().await, Err(EgressError::Unreachable)));
    }
}
