//! The programs in `examples` run as their pages describe.

mod agents;
mod page;
