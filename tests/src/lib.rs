//! The local stack, and what the tests, the demo and the benchmarks need around it.

pub mod cache;
pub mod chatkit;
mod guardian;
pub mod http;
pub mod lambda;
pub mod postgres;
mod project;
pub mod supabase;
pub mod tools;
