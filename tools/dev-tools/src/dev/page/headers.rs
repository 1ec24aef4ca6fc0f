//! Headers of the page's responses, and what a request must have.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The path to which browsers report violations of the policy.
pub const VIOLATIONS: &str = "/local/violations";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The strictest policy under which the elements work. `urls` are those that the page connects to.
pub fn policy(urls: &[String]) -> String {
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self'",
        &format!("connect-src 'self' {}", urls.join(" ")),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html",
        &format!("report-uri {VIOLATIONS}"),
    ]
    .join("; ")
}

/// Rejects requests of other sites, and adds the headers of every response. A name that resolves to
/// a loopback address is another site: it could otherwise read the users' tokens.
pub async fn guard(State(policy): State<HeaderValue>, request: Request, next: Next) -> Response {
    let mut response = if is_own(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "This page answers only itself.").into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
    }
    response
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    // A browser that does not state the site is one that does not send tokens of ours anywhere.
    let site = text(FETCH_SITE).unwrap_or("none");
    ["127.0.0.1", "localhost"].contains(&name) && ["same-origin", "none"].contains(&site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_to_a_loopback_address_from_the_page_itself_are_own() {
        let own = |host: &'static str, site: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            headers.extend(site.map(|site| (FETCH_SITE, HeaderValue::from_static(site))));
            is_own(&headers)
        };
        assert!(own("127.0.0.1:3000", None));
        assert!(own("localhost:3000", Some("same-origin")));
        assert!(own("127.0.0.1", Some("none")));
        assert!(!own("rebound.example:3000", Some("same-origin")));
        assert!(!own("127.0.0.1.example:3000", None));
        assert!(!own("127.0.0.1:3000", Some("cross-site")));
        assert!(!own("127.0.0.1:3000", Some("same-site")));
    }

    #[test]
    fn policy_names_every_url_and_permits_no_inline_code() {
        let policy = policy(&["http://127.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned()]);
        assert!(policy.contains("connect-src 'self' http://127.0.0.1:1 http://127.0.0.1:2;"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
