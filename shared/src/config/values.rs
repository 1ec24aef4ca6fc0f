//! Parsers for values that more than one room reads.

use url::{Host, Url};

/// A base URL without a trailing slash, `https` unless its host is this machine.
///
/// # Errors
/// What the URL should be. The value is not repeated, since a URL can hold a password.
pub fn base_url(value: &str) -> Result<Url, String> {
    let url = Url::parse(value.trim_end_matches('/')).map_err(|_| "must be an absolute URL".to_owned())?;
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err("must be a plain base URL, without user, query or fragment".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("must start with https:// (http:// only for this machine)".to_owned()),
    }
}

/// An origin as a browser sends it: scheme, host and port, nothing else.
///
/// # Errors
/// What an origin looks like.
pub fn origin(value: &str) -> Result<String, String> {
    let parsed =
        Url::parse(value).map_err(|_| format!("{value:?} is no origin like https://app.example.com"))?;
    if matches!(parsed.scheme(), "http" | "https") && parsed.origin().ascii_serialization() == value {
        return Ok(value.to_owned());
    }
    Err(format!("{value:?} must be a scheme, a host and perhaps a port: https://app.example.com"))
}

/// Any value: the emptiness was already refused.
///
/// # Errors
/// None.
pub fn non_empty(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(base_url("http://127.0.0.1:8000/").is_ok());
        assert!(base_url("http://localhost:8000").is_ok());
        assert!(base_url("https://project.supabase.co").is_ok());
        assert!(base_url("http://project.supabase.co").is_err());
        assert!(base_url("https://user:pass@project.supabase.co").is_err());
    }

    #[test]
    fn an_origin_has_no_path_and_is_no_wildcard() {
        assert!(origin("https://app.example.com").is_ok());
        assert!(origin("http://localhost:3000").is_ok());
        assert!(origin("https://app.example.com/").is_err());
        assert!(origin("*").is_err());
    }
}
