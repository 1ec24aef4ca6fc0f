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

pub use dns::System;
pub use loopback_allowlist::Allowed;
pub use url_policy::Refusal;

use crate::platform::tls as client;

/// The way to what the registry names; one a process.
///
/// A client of its own beside [`crate::platform::http_client::Http`]: which addresses a name may have is a matter of the client, and Supabase's
/// may well be private.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
    allowed: Allowed,
}

/// Why no answer came.
#[derive(Debug)]
pub enum Failure {
    /// It may not be connected to, and was not.
    Refused(Refusal),
    /// It could not be connected to.
    Unreachable,
    /// It was connected to, and TLS found it not to be who it should be, or to speak no TLS.
    Untrusted,
    /// The connection broke once it was there: the request may have arrived.
    Broken,
}

impl Outbound {
    /// By the system's resolver.
    ///
    /// # Errors
    /// Only where TLS cannot be set up at all.
    pub fn new(allowed: Allowed) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Self::through(allowed, System, |builder| builder)
    }

    /// By another resolver, whose answers are checked like the system's, and with what else a test does to the client (a
    /// connector that counts instead of connecting).
    ///
    /// # Errors
    /// Only where TLS cannot be set up at all.
    pub fn through(
        allowed: Allowed,
        resolver: impl Resolve + 'static,
        also: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let guarded = dns::Guarded(Arc::new(resolver));
        let builder = client::builder()?.dns_resolver(guarded);
        // Somebody else's server, anywhere in the world: farther away than our own.
        let builder = builder.connect_timeout(Duration::from_secs(3));
        Ok(Self { client: also(builder).build()?, allowed })
    }

    /// Parses a URL of the registry, if it may be asked.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(&self, url: &str) -> Result<Url, Refusal> {
        url_policy::admit(url, &self.allowed)
    }

    /// Sends a request and hands on the answer, its body unread: how long and how large it may be is the caller's affair.
    ///
    /// # Errors
    /// See [`Failure`]. An answer of any status is an answer, a redirect too.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        url_policy::check(request.url(), &self.allowed).map_err(Failure::Refused)?;
        self.client.execute(request).await.map_err(|error| Failure::from(&error))
    }
}

impl From<&reqwest::Error> for Failure {
    fn from(error: &reqwest::Error) -> Self {
        match refusal(error) {
            Some(refusal) => Self::Refused(refusal),
            None if is_of_tls(error) => Self::Untrusted,
            None if error.is_connect() => Self::Unreachable,
            None => Self::Broken,
        }
    }
}

/// The resolver's refusal, somewhere among an error's causes.
fn refusal(error: &reqwest::Error) -> Option<Refusal> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(*refusal);
        }
        cause = error.source();
    }
    None
}

/// Whether the cause is one of TLS, which comes as an error of the connection, wrapped more than once.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source()) {
        _ if error.is::<rustls::Error>() => true,
        Some(cause) => is_of_tls(cause),
        None => false,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable => f.write_str("could not be reached"),
            Self::Untrusted => f.write_str("cannot be trusted to be who it should be"),
            Self::Broken => f.write_str("broke the connection"),
        }
    }
}

impl Error for Failure {}

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
        let outbound = Outbound::new(Allowed::parse(&address.to_string()).unwrap()).unwrap();
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
        assert!(matches!(ask().await, Err(Failure::Untrusted)));
        plain.join().unwrap();
        assert!(matches!(ask().await, Err(Failure::Unreachable)));
    }
}
