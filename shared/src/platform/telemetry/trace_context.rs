//! Trace context of an invocation (W3C `traceparent`). Source:
//! <https://www.w3.org/TR/trace-context/>

use std::fmt;

use uuid::Uuid;

/// Flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// A trace, and a span's place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    pub id: u128,
    /// Span id of the caller, if it has one.
    pub parent: Option<u64>,
    /// Our span id, which is the parent of the calls to other systems.
    pub place: u64,
    pub flags: u8,
}

impl TraceContext {
    /// Continues the caller's trace, or the one that Lambda's `X-Amzn-Trace-Id` names, or starts a
    /// new one. The span id is always new.
    pub fn continuing(traceparent: Option<&str>, xray: Option<&str>) -> Self {
        let found = traceparent.and_then(parse).or_else(|| xray.and_then(parse_xray));
        // Version 7 ids begin with the time and are random in the bytes that samplers use.
        let new = || (Uuid::now_v7().as_u128(), None, SAMPLED);
        let (id, parent, flags) = found.unwrap_or_else(new);
        Self { id, parent, place: fastrand::u64(1..), flags }
    }

    pub fn id(self) -> String {
        format!("{:032x}", self.id)
    }
}

/// Formats the `traceparent` header for calls to other systems. `tracestate` is not propagated: it
/// holds nothing of ours, and the standard allows dropping it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.place, self.flags)
    }
}

/// Trace id, parent span id if there is one, and flags.
type ParsedTrace = (u128, Option<u64>, u8);

/// Parses a `traceparent` header. A malformed one is ignored.
fn parse(header: &str) -> Option<ParsedTrace> {
    let mut parts = header.split('-');
    let version = parts.next()?;
    let id = parts.next()?;
    let place = parts.next()?;
    let flags = parts.next()?;
    // Later versions may append parts, which are ignored. Version 00 has none.
    let known = hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none());
    let id = hex(id, 32)?;
    let place = hex(place, 16)? as u64;
    let flags = hex(flags, 2)? as u8;
    (known && id != 0 && place != 0).then_some((id, Some(place), flags & SAMPLED))
}

/// Parses Lambda's header: `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`.
///
/// Without X-Ray, Lambda sends `Sampled=0`. Other systems still record the trace, but then the
/// parent is a span that no system has recorded, so it is ignored.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html>
fn parse_xray(header: &str) -> Option<ParsedTrace> {
    let part =
        |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (time, rest) = part("Root")?.strip_prefix("1-")?.split_once('-')?;
    let id = (hex(time, 8)? << 96) | hex(rest, 24)?;
    let recorded = part("Sampled") == Some("1");
    let place =
        part("Parent").filter(|_| recorded).and_then(|place| hex(place, 16)).map(|place| place as u64);
    (id != 0).then_some((id, place.filter(|place| *place != 0), SAMPLED))
}

/// Parses a number of exactly `length` lower-case hexadecimal digits.
fn hex(digits: &str, length: usize) -> Option<u128> {
    let right =
        digits.len() == length && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn caller_trace_continues_with_a_new_span_id() {
        let trace = TraceContext::continuing(
            Some(TRACEPARENT),
            Some("Root=1-67891233-abcdef012345678912345678;Sampled=0"),
        );
        let header = trace.to_string();
        assert!(
            header.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && header.ends_with("-01"),
            "{header}"
        );
        assert!(!header.contains("b7ad6b7169203331"), "{header}");
        assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.parent, Some(0xb7ad_6b71_6920_3331));
        assert_eq!(parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what-else").unwrap().2, 0);
    }

    #[test]
    fn lambda_trace_is_used_without_a_caller_trace() {
        const ROOT: &str = "Self=1-x;Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8";
        let trace = TraceContext::continuing(None, Some(&format!("{ROOT};Sampled=1")));
        assert_eq!(trace.id(), "67891233abcdef012345678912345678");
        assert_eq!(trace.parent, Some(0x5399_5c3f_42cd_8ad8));
        let unrecorded = TraceContext::continuing(None, Some(&format!("{ROOT};Sampled=0")));
        assert_eq!((unrecorded.id, unrecorded.parent, unrecorded.flags), (trace.id, None, SAMPLED));
    }

    #[test]
    fn malformed_header_starts_a_new_trace() {
        let upper = TRACEPARENT.to_uppercase();
        for bad in [
            "",
            &upper,
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
            let one = TraceContext::continuing(Some(bad), None);
            let other = TraceContext::continuing(Some(bad), None);
            assert_ne!(one.id(), other.id());
            assert_eq!(parse(&one.to_string()), Some((one.id, Some(one.place), SAMPLED)));
        }
        assert_eq!(parse_xray("Root=1-0-0"), None);
    }
}
