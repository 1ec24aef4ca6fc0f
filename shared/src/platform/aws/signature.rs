//! AWS's Signature Version 4 in the header `Authorization`.
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign as calculate},
    sign::v4,
};
use reqwest::{
    Body, Request,
    header::{HeaderName, HeaderValue},
};

/// Adds the headers of a signature. It covers the method, the URL, the body and the headers that
/// the request has now.
///
/// # Errors
/// Returns what cannot be signed.
pub(crate) fn sign(
    request: &mut Request,
    service: &str,
    region: &str,
    credentials: &Credentials,
    time: SystemTime,
) -> Result<(), &'static str> {
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| "a parameter of the signature is missing")?
        .into();
    let headers = request.headers().iter().map(|(name, value)| Ok((name.as_str(), value.to_str()?)));
    let headers: Result<Vec<_>, reqwest::header::ToStrError> = headers.collect();
    let headers = headers.map_err(|_| "a header is not ASCII")?;
    let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().as_str(),
        headers.into_iter(),
        SignableBody::Bytes(body),
    );
    let signed = signable.and_then(|signable| calculate(signable, &parameters));
    let (instructions, _) = signed.map_err(|_| "the request cannot be signed")?.into_parts();
    let (signature_headers, _) = instructions.into_parts();
    for header in signature_headers {
        let mut value =
            HeaderValue::from_str(header.value()).map_err(|_| "a credential is not visible ASCII")?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::{Method, header::AUTHORIZATION};

    use super::*;

    /// The time of AWS's examples: 2015-08-30T12:36:00Z.
    const TIME: Duration = Duration::from_secs(1_440_938_160);

    /// Returns the value of `Authorization` for a request with the keys, the region, the service and
    /// the time of AWS's signing test suite (version 4).
    fn authorization(method: Method, path: &str, headers: &[(&'static str, &str)], token: &str) -> String {
        let url = format!("https://example.amazonaws.com{path}");
        let mut request = Request::new(method, url.parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let token = (!token.is_empty()).then(|| token.to_owned());
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, token, None, "test");
        sign(&mut request, "service", "us-east-1", &credentials, SystemTime::UNIX_EPOCH + TIME).unwrap();
        request.headers()[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    fn expected(signed_headers: &str, signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={signed_headers}, Signature={signature}"
        )
    }

    /// AWS's published signatures.
    #[test]
    fn signature_equals_the_published_one() {
        for (name, method, path, headers, signed_headers, signature) in [
            (
                "post-vanilla",
                Method::POST,
                "/",
                [].as_slice(),
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-key-case",
                Method::GET,
                "/?Param2=value2&Param1=value1",
                &[],
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla-query",
                Method::POST,
                "/?Param1=value1",
                &[],
                "host;x-amz-date",
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            (
                "get-unreserved",
                Method::GET,
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                &[],
                "host;x-amz-date",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                "post-header-key-sort",
                Method::POST,
                "/",
                &[("my-header1", "value1")],
                "host;my-header1;x-amz-date",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
        ] {
            let authorization = authorization(method, path, headers, "");
            assert_eq!(authorization, expected(signed_headers, signature), "{name}");
        }
    }

    #[test]
    fn session_token_is_signed() {
        assert_eq!(
            authorization(
                Method::GET,
                "/",
                &[],
                "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
            ),
            expected(
                "host;x-amz-date;x-amz-security-token",
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"
            ),
        );
    }

    #[test]
    fn debug_output_of_a_signed_request_contains_no_credential() {
        let mut request = Request::new(Method::GET, "https://example.amazonaws.com/".parse().unwrap());
        let token = Some("c4n4ry-token".to_owned());
        let credentials = Credentials::new("AKID-c4n4ry", "c4n4ry-key", token, None, "test");
        sign(&mut request, "service", "us-east-1", &credentials, SystemTime::now()).unwrap();
        let printed = format!("{request:?}");
        assert!(!printed.contains("c4n4ry"), "{printed}");
    }
}
