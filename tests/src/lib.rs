//! The local stack, and what the tests, the demo and the benchmarks need around it.

pub mod chatkit;
pub mod sdk;
pub mod tools;
