mod failures;
mod gauges;
mod idle_sessions;
mod retention;
mod thread_limits;
