//! As many events as fit a test, and that what they look for would be found.

use http_fuzz::{Plan, fuzz, fuzz_faulty};

#[test]
fn no_event_ends_in_a_panic_or_without_a_line() {
    let tally = fuzz(&Plan { seed: 7, events: 20_000, first: 0 }).unwrap();
    assert!(tally.faults.is_empty(), "{tally}");
    // Mutation that never gets past the first check tries nothing.
    for status in [200, 204, 304, 400, 401, 403, 404, 405, 413, 415, 422] {
        assert!(tally.statuses.contains_key(&status), "no {status}: {tally}");
    }
    for code in ["malformed_request", "malformed_body", "malformed_id", "unsupported_content_encoding"] {
        assert!(tally.codes.contains_key(code), "no {code}: {tally}");
    }
}

#[test]
fn a_panic_is_found() {
    let tally = fuzz_faulty(&Plan { seed: 7, events: 200, first: 0 }).unwrap();
    assert!(tally.faults.iter().any(|fault| fault.what.contains("panicked")), "{tally}");
}
