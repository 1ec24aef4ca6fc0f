//! URL policy: which URLs from the registry may be requested, judged by the URL alone.

use std::fmt;

use url::{Host, Url};

use super::{ip_ranges::is_global, loopback_allowlist::LoopbackAllowlist};

/// Reason why a URL is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlRejection {
    Malformed,
    NotHttps,
    /// The URL contains a user name or a password.
    Credentials,
    /// The host is an address that is not public.
    Address,
    /// The host is a name that resolves to an address that is not public.
    Name,
}

impl fmt::Display for UrlRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not an absolute URL",
            Self::NotHttps => "is not https",
            Self::Credentials => "has credentials in it",
            Self::Address => "leads to an address that is not public",
            Self::Name => "leads to a name with an address that is not public",
        })
    }
}

impl std::error::Error for UrlRejection {}

/// Parses a URL from the registry and checks it. The parser turns every form of an IPv4 address
/// (decimal, octal, hexadecimal, shortened) into an address:
/// <https://url.spec.whatwg.org/#concept-ipv4-parser>.
pub(super) fn parse_allowed_url(url: &str, allowed: &LoopbackAllowlist) -> Result<Url, UrlRejection> {
    let url = Url::parse(url).map_err(|_| UrlRejection::Malformed)?;
    check_url(&url, allowed)?;
    Ok(url)
}

/// Checks a URL. The resolver checks the addresses of a name, and never sees a literal address.
pub(super) fn check_url(url: &Url, allowed: &LoopbackAllowlist) -> Result<(), UrlRejection> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlRejection::Credentials);
    }
    if matches!(url.scheme(), "http" | "https") && allowed.allows(url) {
        return Ok(());
    }
    if url.scheme() != "https" {
        return Err(UrlRejection::NotHttps);
    }
    match url.host() {
        Some(Host::Domain(_)) => Ok(()),
        Some(Host::Ipv4(ip)) if is_global(ip.into()) => Ok(()),
        Some(Host::Ipv6(ip)) if is_global(ip.into()) => Ok(()),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err(UrlRejection::Address),
        None => Err(UrlRejection::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(url: &str) -> Result<(), UrlRejection> {
        parse_allowed_url(url, &LoopbackAllowlist::parse("127.0.0.1:4000").unwrap()).map(|_| ())
    }

    #[test]
    fn url_must_be_https_or_on_the_loopback_allowlist() {
        for url in
            ["https://agents.example.com/mcp", "https://1.1.1.1/", "https://agents.example.com:8443/mcp?v=1"]
        {
            assert_eq!(outcome(url), Ok(()), "{url}");
        }
        for url in ["http://127.0.0.1:4000/mcp", "https://127.0.0.1:4000/mcp"] {
            assert_eq!(outcome(url), Ok(()), "{url}");
        }
        for url in [
            "http://agents.example.com/mcp",
            "http://1.1.1.1/",
            "ftp://agents.example.com/",
            "http://127.0.0.1/",
        ] {
            assert_eq!(outcome(url), Err(UrlRejection::NotHttps), "{url}");
        }
        for url in ["agents.example.com", "/mcp", "https://", "https://[::1", "data:,x"] {
            assert!(matches!(outcome(url), Err(UrlRejection::Malformed | UrlRejection::NotHttps)), "{url}");
        }
        for url in [
            "https://user@agents.example.com/",
            "https://:pass@agents.example.com/",
            "http://u:p@127.0.0.1:4000/",
        ] {
            assert_eq!(outcome(url), Err(UrlRejection::Credentials), "{url}");
        }
    }

    #[test]
    fn private_address_in_any_notation_is_rejected() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "10.0.0.1",
            "192.168.0.1",
            "0.0.0.0",
            "0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::127.0.0.1]",
        ] {
            assert_eq!(outcome(&format!("https://{host}/mcp")), Err(UrlRejection::Address), "{host}");
        }
        // Host names must be ASCII here, so digits of other scripts are not digits.
        assert_eq!(outcome("https://\u{ff11}27.0.0.1/mcp"), Err(UrlRejection::Malformed));
    }
}
