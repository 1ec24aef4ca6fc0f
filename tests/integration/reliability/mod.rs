//! Behaviour during failures of OpenAI, Supabase and streams.

mod outages;
mod recorded_results;
mod streams;
mod upstream_errors;
