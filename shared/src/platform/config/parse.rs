//! Parsers for configuration values that several modules use.

use url::{Host, Url};

use crate::platform::secret::Secret;

/// Parses a base URL and ignores trailing slashes. The scheme must be `https`; a loopback
/// host may also use `http`.
///
/// # Errors
/// Returns what is expected. The value is not repeated, since a URL can hold a password.
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

/// Parses a generated secret of at least 32 visible ASCII characters, too long to be guessed.
pub fn secret_min_32(value: &str) -> Result<Secret, String> {
    if value.len() < 32 || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "must have at least 32 visible ASCII characters, like `openssl rand -hex 32` makes".to_owned()
        );
    }
    Ok(Secret::new(value))
}

/// Requires a minimum length of a secret, so that a placeholder or a truncated value is reported.
///
/// # Errors
/// Returns the minimum.
pub fn require_length(value: &str, minimum: usize) -> Result<(), String> {
    if value.len() < minimum { Err(format!("must have at least {minimum} characters")) } else { Ok(()) }
}

/// Accepts any value. Empty values do not get here, since they count as not set.
pub fn any_string(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// Accepts up to 512 visible ASCII characters: a key that a page may show.
///
/// # Errors
/// Returns what is expected.
pub fn visible_ascii(value: &str) -> Result<String, String> {
    if value.len() > 512 || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must have at most 512 visible ASCII characters".to_owned());
    }
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
    fn base_url_over_http_requires_a_loopback_host() {
        assert!(base_url("http://127.0.0.1:8000/").is_ok());
        assert!(base_url("http://localhost:8000").is_ok());
        assert!(base_url("https://project.supabase.co").is_ok());
        assert!(base_url("http://project.supabase.co").is_err());
        assert!(base_url("https://user:pass@project.supabase.co").is_err());
    }
}
