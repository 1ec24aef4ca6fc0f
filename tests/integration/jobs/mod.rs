//! Tests of the functions without an HTTP caller: dispatch, maintenance and erasure.

mod claim_limits;
pub mod dispatch;
pub mod erasure;
pub mod maintenance;
