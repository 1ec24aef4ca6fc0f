//! The local stack, and what the tests, the demo and the benchmarks need around it.

pub mod cache;
mod guardian;
pub mod http;
pub mod postgres;
pub mod lambda;
mod project;
pub mod supabase;
