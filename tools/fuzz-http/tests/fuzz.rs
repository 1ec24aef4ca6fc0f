//! A short run, and a check that faults are detected.

use http_fuzz::{Plan, fuzz, fuzz_panicking_endpoint, fuzz_panicking_stream};

#[test]
fn mutated_events_cause_no_panic_and_one_log_line_each() {
    let report = fuzz(&Plan { seed: 7, events: 20_000, first: 0 }).unwrap();
    assert!(report.faults.is_empty(), "{report}");
    // Mutations that only reach the first check would test nothing.
    for status in [200, 204, 304, 400, 401, 403, 404, 405, 413, 415, 422] {
        assert!(report.statuses.contains_key(&status), "no {status}: {report}");
    }
    for code in ["malformed_request", "malformed_body", "malformed_id", "unsupported_content_encoding"] {
        assert!(report.codes.contains_key(code), "no {code}: {report}");
    }
    assert!(report.streams > 500, "{report}");
}

#[test]
fn panicking_endpoint_is_reported() {
    let report = fuzz_panicking_endpoint(&Plan { seed: 7, events: 200, first: 0 }).unwrap();
    assert!(report.faults.iter().any(|fault| fault.description.contains("panicked")), "{report}");
}

#[test]
fn panicking_stream_is_reported() {
    let report = fuzz_panicking_stream(&Plan { seed: 7, events: 200, first: 0 }).unwrap();
    assert!(report.faults.iter().any(|fault| fault.description.contains("panicked")), "{report}");
}
