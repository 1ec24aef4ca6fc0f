mod failures;
mod gauges;
pub mod idle_sessions;
mod retention;
mod thread_limits;
