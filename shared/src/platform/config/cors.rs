//! CORS configuration: the origins and request headers that browsers may use.

use url::{Host, Url};

/// Settings that the HTTP service answers CORS preflights with.
#[derive(Debug)]
pub struct CorsSettings {
    pub origins: AllowedOrigins,
    /// Request headers that are allowed in addition to the built-in ones, in lower case.
    pub headers: Vec<String>,
}

/// Origins whose pages may call the API.
#[derive(Debug, Default)]
pub struct AllowedOrigins(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    Exact(String),
    /// Every subdomain at any depth, for example of `https://` and `.example.app:8443`.
    Below {
        scheme: String,
        domain: String,
    },
}

/// Hosting domains whose subdomains belong to different customers: a wildcard for one of them would
/// allow every customer's pages. The list holds the domains that a deployment is likely to have.
/// The complete [public suffix list](https://publicsuffix.org) is as large as a function.
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

/// Labels below which country registries sell names, as in `co.uk` and `com.au`.
const SECOND_LEVEL: [&str; 10] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"];

impl AllowedOrigins {
    /// Parses origins separated by commas, in the form that browsers send (RFC 6454):
    /// `scheme://host`, with a port unless it is the scheme's default. `*.` before a host
    /// allows every name below it.
    ///
    /// # Errors
    /// Returns the position of an invalid origin and the reason. The value is not repeated, since
    /// it may be a secret in the wrong variable.
    pub fn parse(value: &str) -> Result<Self, String> {
        let pattern = |(i, value): (usize, &str)| {
            parse_pattern(value.trim()).map_err(|why| format!("has as number {} {why}", i + 1))
        };
        value.split(',').enumerate().map(pattern).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether pages of this origin may call the API.
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
    // The last label of an IPv4 address is a number, and an address has no subdomains.
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

/// Parses an origin, which must be in the exact form that browsers send.
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
    // `Url` keeps the case of a host if it does not know the scheme.
    let host = host.to_string().to_ascii_lowercase();
    let written = format!("{}://{host}{port}", url.scheme());
    if written == value { Ok(written) } else { Err(FORM) }
}

/// Parses names of request headers, separated by commas, and converts them to lower case.
///
/// # Errors
/// Returns the position of a name that pages cannot send, and the reason.
pub fn header_names(value: &str) -> Result<Vec<String>, String> {
    let name = |(i, name): (usize, &str)| {
        let name = name.trim().to_ascii_lowercase();
        let why = forbidden_reason(&name);
        why.map_or(Ok(name), |why| Err(format!("has as number {} {why}", i + 1)))
    };
    value.split(',').enumerate().map(name).collect()
}

/// Returns the reason why pages do not send a header of this name to the API, if there is one.
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
    // Characters of a token: RFC 9110, section 5.6.2.
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
