//! Behaviour during failures of OpenAI and Supabase.

mod outages;
mod recorded_results;
mod upstream_errors;
