//! What the project promises, each promise with a test that can fail. One binary, so that one PostgreSQL serves all.

// This is test code; the lints know only code under the standard harness as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Times and ids are read as any client reads them; `shared::platform::parse` is what is tried.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod auth;
mod bad_inputs;
mod bounds;
mod caller;
mod configuration;
mod cors;
mod described;
mod doctor;
mod edge;
mod endings;
mod erasure;
mod escalations;
mod expiry;
mod explored;
mod harness;
mod idempotency;
mod journey;
mod layers;
mod mcp;
mod metrics;
mod openai_sdk;
mod outages;
mod page;
mod pages;
mod recorded;
mod rejected;
mod requests;
mod routing;
mod row_policies;
mod secrets;
mod seen;
mod sessions;
mod soak;
mod stack;
mod standin;
mod tenancy;
mod throttles;
mod tools;
mod untouched;
mod upstream_errors;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    stack::hold();
    harness::run([
        // Takes longest, so it begins first.
        explored::trials(),
        journey::trials(),
        sessions::trials(),
        rejected::trials(),
        page::trials(),
        outages::trials(),
        upstream_errors::trials(),
        pages::trials(),
        endings::trials(),
        escalations::trials(),
        idempotency::trials(),
        throttles::trials(),
        row_policies::trials(),
        expiry::trials(),
        bounds::trials(),
        erasure::trials(),
        recorded::trials(),
        routing::trials(),
        metrics::trials(),
        soak::trials(),
        tenancy::trials(),
        bad_inputs::trials(),
        auth::trials(),
        cors::trials(),
        layers::trials(),
        edge::trials(),
        requests::trials(),
        secrets::trials(),
        seen::trials(),
        configuration::trials(),
        doctor::trials(),
        described::trials(),
        stack::trials(),
        standin::trials(),
        openai_sdk::trials(),
        tools::trials(),
        mcp::trials(),
        watch::trials(),
    ])
}
