//! The programs in `examples` run as their pages describe.

pub mod agents;
mod page;
