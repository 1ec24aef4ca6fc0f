//! Behaviour during failures of OpenAI, Supabase and streams, and while secrets are rotated.

mod outages;
mod recorded_results;
mod runtime_secrets;
mod streams;
mod upstream_errors;
