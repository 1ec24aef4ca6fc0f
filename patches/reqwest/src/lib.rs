//! reqwest 0.13 in place of 0.11, for the `postgrest` crate.
//!
//! The released `postgrest` 1.6 depends on reqwest 0.11, which brings a second HTTP client and a
//! second TLS library with known vulnerabilities into every function. `postgrest` uses only what
//! reqwest 0.13 has too, so its repository has changed the version
//! (<https://github.com/supabase-community/postgrest-rs/pull/68>). Delete this package when a
//! release of `postgrest` contains that change.

pub use current::*;
