//! Which trace a unit of work belongs to. Source: <https://www.w3.org/TR/trace-context/>

use std::fmt;

use uuid::Uuid;

/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    pub id: u128,
    /// The caller's place, where it has one.
    pub parent: Option<u64>,
    /// Ours, from which others go on.
    pub place: u64,
    pub flags: u8,
}

impl TraceContext {
    /// The caller's trace, or the one that Lambda's `X-Amzn-Trace-Id` names, or a new one; and a new place in it, which is ours.
    pub fn continuing(traceparent: Option<&str>, xray: Option<&str>) -> Self {
        let found = traceparent.and_then(parse).or_else(|| xray.and_then(parse_xray));
        // Version 7 ids begin with the time and are random in the bytes that samplers look at.
        let new = || (Uuid::now_v7().as_u128(), None, SAMPLED);
        let (id, parent, flags) = found.unwrap_or_else(new);
        Self { id, parent, place: fastrand::u64(1..), flags }
    }

    /// The trace's id.
    pub fn id(self) -> String {
        format!("{:032x}", self.id)
    }
}

/// As the header `traceparent` has it, for whoever is called. `tracestate` is not passed on: nothing in it is ours, and it may be dropped.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.place, self.flags)
    }
}

/// A trace, a place in it, if any, and flags.
type ParsedTrace = (u128, Option<u64>, u8);

/// What a `traceparent` says; one that is not of its form counts as none.
fn parse(header: &str) -> Option<ParsedTrace> {
    let mut parts = header.split('-');
    let (version, id, place, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may add parts, which say nothing to us; this one has none.
    let known = hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none());
    let (id, place, flags) = (hex(id, 32)?, hex(place, 16)? as u64, hex(flags, 2)? as u8);
    (known && id != 0 && place != 0).then_some((id, Some(place), flags & SAMPLED))
}

/// What Lambda's header says: `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`. That X-Ray does not record, which is what it
/// says of a function without it, keeps nobody else from recording; only then there is no parent that anybody knows.
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

/// A number of exactly so many lower-case hexadecimal digits.
fn hex(digits: &str, length: usize) -> Option<u128> {
    let right =
        digits.len() == length && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_callers_trace_goes_on_from_a_place_of_its_own() {
        let trace = TraceContext::continuing(
            Some(CALLERS),
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
    fn lambdas_trace_is_taken_where_the_caller_has_none() {
        const ROOT: &str = "Self=1-x;Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8";
        let trace = TraceContext::continuing(None, Some(&format!("{ROOT};Sampled=1")));
        assert_eq!(trace.id(), "67891233abcdef012345678912345678");
        assert_eq!(trace.parent, Some(0x5399_5c3f_42cd_8ad8));
        let unrecorded = TraceContext::continuing(None, Some(&format!("{ROOT};Sampled=0")));
        assert_eq!((unrecorded.id, unrecorded.parent, unrecorded.flags), (trace.id, None, SAMPLED));
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        let upper = CALLERS.to_uppercase();
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
            let (one, other) =
                (TraceContext::continuing(Some(bad), None), TraceContext::continuing(Some(bad), None));
            assert_ne!(one.id(), other.id());
            assert_eq!(parse(&one.to_string()), Some((one.id, Some(one.place), SAMPLED)));
        }
        assert_eq!(parse_xray("Root=1-0-0"), None);
    }
}
