//! Verifies AWS's Signature Version 4, and rejects what AWS rejects.
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use aws_lc_rs::{constant_time, digest, hmac};
use axum::http::request::Parts;
use jiff::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far the time of a request may differ.
const MAX_SKEW_SECONDS: i64 = 5 * 60;

/// Temporary credentials of a role.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
}

/// Why AWS rejects a signature: the code and the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rejection {
    pub code: &'static str,
    pub message: &'static str,
}

const fn rejection(code: &'static str, message: &'static str) -> Rejection {
    Rejection { code, message }
}

const MISSING: Rejection = rejection("MissingAuthenticationTokenException", "Missing Authentication Token");
const INCOMPLETE: Rejection =
    rejection("IncompleteSignatureException", "The authorization header is incomplete.");
const UNKNOWN_TOKEN: Rejection =
    rejection("UnrecognizedClientException", "The security token included in the request is invalid.");
const WRONG_SCOPE: Rejection =
    rejection("InvalidSignatureException", "Credential should be scoped to a valid region and service.");
const EXPIRED: Rejection = rejection("InvalidSignatureException", "Signature expired or not yet current.");
const UNSIGNED_HEADER: Rejection =
    rejection("InvalidSignatureException", "A header that must be signed is not signed.");
const WRONG_SIGNATURE: Rejection =
    rejection("InvalidSignatureException", "The request signature we calculated does not match.");

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Returns the index of the credentials that signed a request.
pub fn verify(
    parts: &Parts,
    body: &[u8],
    (region, service): (&str, &str),
    known: &[Credentials],
    now: Timestamp,
) -> Result<usize, Rejection> {
    let authorization = parts.headers.get("authorization").ok_or(MISSING)?;
    let authorization = authorization.to_str().ok().and_then(parse).ok_or(INCOMPLETE)?;
    let index = known.iter().position(|one| one.access_key_id == authorization.access_key_id);
    let index = index.ok_or(UNKNOWN_TOKEN)?;
    let credentials = &known[index];
    if header(parts, "x-amz-security-token") != credentials.session_token {
        return Err(UNKNOWN_TOKEN);
    }
    let time = header(parts, "x-amz-date");
    let is_scoped = authorization.region == region
        && authorization.service == service
        && time.starts_with(authorization.date);
    if !is_scoped {
        return Err(WRONG_SCOPE);
    }
    let sent_at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &time).ok();
    let sent_at = sent_at.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok()).ok_or(INCOMPLETE)?;
    if (now.as_second() - sent_at.timestamp().as_second()).abs() > MAX_SKEW_SECONDS {
        return Err(EXPIRED);
    }
    let signed: Vec<&str> = authorization.signed_headers.split(';').collect();
    let is_signed = |name: &str| signed.contains(&name);
    let amazon = parts.headers.keys().filter(|name| name.as_str().starts_with("x-amz-"));
    if !is_signed("host") || !signed.is_sorted() || !amazon.into_iter().all(|name| is_signed(name.as_str())) {
        return Err(UNSIGNED_HEADER);
    }
    let canonical = canonical_request(parts, body, &signed);
    let scope = format!("{}/{region}/{service}/aws4_request", authorization.date);
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = format!("AWS4{}", credentials.secret_access_key).into_bytes();
    let key = [authorization.date, region, service, "aws4_request"]
        .iter()
        .fold(key, |key, part| sign(&key, part.as_bytes()));
    let expected = hex(&sign(&key, text.as_bytes()));
    constant_time::verify_slices_are_equal(expected.as_bytes(), authorization.signature.as_bytes())
        .map_err(|_| WRONG_SIGNATURE)?;
    Ok(index)
}

fn parse(text: &str) -> Option<Authorization<'_>> {
    let fields = text.strip_prefix(ALGORITHM)?.trim();
    let field =
        |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    let mut credential = field("Credential")?.split('/');
    let authorization = Authorization {
        access_key_id: credential.next()?,
        date: credential.next()?,
        region: credential.next()?,
        service: credential.next()?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
    };
    (credential.next() == Some("aws4_request") && credential.next().is_none()).then_some(authorization)
}

fn canonical_request(parts: &Parts, body: &[u8], signed: &[&str]) -> String {
    let mut query: Vec<&str> = parts.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let headers: String = signed.iter().map(|name| format!("{name}:{}\n", header(parts, name))).collect();
    format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        parts.method,
        encoded(parts.uri.path()),
        query.join("&"),
        signed.join(";"),
        sha256(body)
    )
}

/// Encodes a path again, which all services except S3 require.
fn encoded(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}

/// Returns all values of a header, as they are signed.
fn header(parts: &Parts, name: &str) -> String {
    let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(",")
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn sha256(text: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, text).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    /// AWS's published example `get-vanilla-with-session-token`.
    fn example() -> (Parts, Vec<Credentials>, Timestamp) {
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let request = Request::get("https://example.amazonaws.com/")
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header("x-amz-security-token", token)
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date;x-amz-security-token, \
                 Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            );
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.to_owned(),
        };
        let parts = request.body(()).unwrap().into_parts().0;
        (parts, vec![credentials], "2015-08-30T12:36:00Z".parse().unwrap())
    }

    fn verdict(change: impl FnOnce(&mut Parts, &mut Credentials)) -> Result<usize, Rejection> {
        let (mut parts, mut known, now) = example();
        change(&mut parts, &mut known[0]);
        verify(&parts, b"", ("us-east-1", "service"), &known, now)
    }

    #[test]
    fn published_signature_is_accepted_and_changes_are_rejected() {
        assert_eq!(verdict(|_, _| {}), Ok(0));
        let set = |name: &'static str, value: &'static str| {
            verdict(move |parts, _| drop(parts.headers.insert(name, value.parse().unwrap())))
        };
        assert_eq!(set("x-amz-security-token", "other"), Err(UNKNOWN_TOKEN));
        assert_eq!(set("x-amz-date", "20150830T124200Z"), Err(EXPIRED));
        assert_eq!(set("x-amz-date", "20150830T123601Z"), Err(WRONG_SIGNATURE));
        assert_eq!(set("x-amz-date", "20150831T123600Z"), Err(WRONG_SCOPE));
        assert_eq!(set("x-amz-invocation-type", "Event"), Err(UNSIGNED_HEADER));
        assert_eq!(set("host", "other.example"), Err(WRONG_SIGNATURE));
        assert_eq!(set("authorization", "AWS4-HMAC-SHA256 x"), Err(INCOMPLETE));
        assert_eq!(verdict(|parts, _| drop(parts.headers.remove("authorization"))), Err(MISSING));
        assert_eq!(
            verdict(|parts, _| parts.uri = "https://example.amazonaws.com/a".parse().unwrap()),
            Err(WRONG_SIGNATURE)
        );
        assert_eq!(verdict(|_, known| known.access_key_id.push('x')), Err(UNKNOWN_TOKEN));
        assert_eq!(verdict(|_, known| known.secret_access_key.push('x')), Err(WRONG_SIGNATURE));
        let (parts, known, now) = example();
        assert_eq!(verify(&parts, b"x", ("us-east-1", "service"), &known, now), Err(WRONG_SIGNATURE));
        assert_eq!(verify(&parts, b"", ("us-east-1", "lambda"), &known, now), Err(WRONG_SCOPE));
    }
}
