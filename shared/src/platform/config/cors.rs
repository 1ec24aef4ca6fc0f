//! What browsers may do: the origins of pages, and the headers that those may send.

use url::{Host, Url};

/// What the edge answers preflights by.
#[derive(Debug)]
pub struct CorsSettings {
    /// Whose pages may call.
    pub origins: AllowedOrigins,
    /// The request headers that are allowed beside those that the edge allows by itself, in lower case.
    pub headers: Vec<String>,
}

/// The origins whose pages may call the API.
#[derive(Debug, Default)]
pub struct AllowedOrigins(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    Exact(String),
    /// Every name below a domain: `https://` and `.example.app:8443`.
    Below {
        scheme: String,
        domain: String,
    },
}

/// Domains below which anybody may have a name: a wildcard for one of them would let anybody's page in. Not the whole of the
/// [public suffix list](https://publicsuffix.org), which is as large as a function: those that a deployment is likely to have.
const SHARED: [&str; 16] = [
    "amazonaws.com",
    "azurestaticapps.net",
    "azurewebsites.net",
    "cloudfront.net",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "netlify.app",
    "ngrok.io",
    "onrender.com",
    "pages.dev",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// What registries of countries sell names below: `co.uk`, `com.au`.
const SECOND_LEVEL: [&str; 10] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"];

impl AllowedOrigins {
    /// Origins as browsers send them (RFC 6454), separated by commas: `scheme://host` and a port that is not the scheme's own. `*.`
    /// before a host stands for every name below it.
    ///
    /// # Errors
    /// Which of them is none, by its place, and why. The value is not repeated: what stands there by mistake may be a secret.
    pub fn parse(value: &str) -> Result<Self, String> {
        let pattern = |(i, value): (usize, &str)| {
            parse_pattern(value.trim()).map_err(|why| format!("has as number {} {why}", i + 1))
        };
        value.split(',').enumerate().map(pattern).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a page of this origin may call.
    pub fn contains(&self, origin: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exact(exact) => exact == origin,
            Pattern::Below { scheme, domain } => {
                let below =
                    origin.strip_prefix(scheme.as_str()).and_then(|host| host.strip_suffix(domain.as_str()));
                below.is_some_and(|names| names.split('.').all(is_label))
            }
        })
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn parse_pattern(value: &str) -> Result<Pattern, &'static str> {
    match value {
        "*" => return Err("`*`, which would let every page in: name each origin"),
        "null" => {
            return Err("`null`, which is the origin of every sandboxed frame and local file, of anybody's");
        }
        _ => {}
    }
    let Some((scheme, host)) = value.split_once("://*.") else {
        return match value.contains('*') {
            true => Err("a `*` that is not the whole first name of a host, as in https://*.example.com"),
            false => parse_origin(value).map(Pattern::Exact),
        };
    };
    if host.contains('*') {
        return Err("more than one `*`");
    }
    let base = parse_origin(&format!("{scheme}://{host}"))?;
    let name = host.split(':').next().unwrap_or_default();
    let labels: Vec<&str> = name.split('.').collect();
    let is_domain = labels.len() >= 2 && labels.iter().all(|label| is_label(label));
    // An address is a number at its end, and has nothing below it.
    if !is_domain || labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("a `*` that is not before a domain of two names or more, as in https://*.example.com");
    }
    let is_registry = |labels: &[&str]| matches!(labels, [second, country] if country.len() == 2 && SECOND_LEVEL.contains(second));
    if SHARED.contains(&name) || is_registry(&labels) {
        return Err("a `*` before a domain below which anybody may have a name");
    }
    let scheme = format!("{scheme}://");
    let domain = format!(".{}", base.strip_prefix(&scheme).unwrap_or_default());
    Ok(Pattern::Below { scheme, domain })
}

/// An origin in the one form in which browsers send it.
fn parse_origin(value: &str) -> Result<String, &'static str> {
    const NONE: &str = "no origin like https://app.example.com";
    const FORM: &str = "an origin that browsers write in another way: scheme and host in lower case (a name beyond ASCII as \
                        xn--…), no port that is the scheme's own, and nothing after the port, not even a slash";
    let url = Url::parse(value).map_err(|_| NONE)?;
    let host = url.host().ok_or("a scheme without a host, whose pages have the origin `null`")?;
    if !value.contains("://") || matches!(&host, Host::Domain(name) if name.is_empty()) {
        return Err(NONE);
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    // `Url` leaves the case of a host alone where it does not know the scheme.
    let host = host.to_string().to_ascii_lowercase();
    let written = format!("{}://{host}{port}", url.scheme());
    if written == value { Ok(written) } else { Err(FORM) }
}

/// Names of request headers, separated by commas, in lower case.
///
/// # Errors
/// Which of them no page can send, by its place, and why.
pub fn header_names(value: &str) -> Result<Vec<String>, String> {
    let name = |(i, name): (usize, &str)| {
        let name = name.trim().to_ascii_lowercase();
        let why = forbidden_reason(&name);
        why.map_or(Ok(name), |why| Err(format!("has as number {} {why}", i + 1)))
    };
    value.split(',').enumerate().map(name).collect()
}

/// Why no page sends a header of this name to us.
/// Source: <https://fetch.spec.whatwg.org/#forbidden-request-header>
fn forbidden_reason(name: &str) -> Option<&'static str> {
    const FORBIDDEN: [&str; 20] = [
        "accept-charset",
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "access-control-request-private-network",
        "connection",
        "content-length",
        "cookie2",
        "date",
        "dnt",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    // RFC 9110, section 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match name {
        "*" => Some("`*`, which does not stand for `authorization`: name each header"),
        "cookie" | "set-cookie" => Some("a cookie: callers are known by their token only"),
        "" => Some("nothing"),
        _ if !name.bytes().all(is_token) => Some("no name of a header (RFC 9110)"),
        _ if FORBIDDEN.contains(&name) || name.starts_with("sec-") || name.starts_with("proxy-") => {
            Some("a header that no browser lets a page set")
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "cors_tests.rs"]
mod tests;
