//! The self-hosted chat: turns, repeats, stops, crashes and access.

mod access;
mod budgets;
mod crashes;
pub mod fixture;
mod missed_streams;
mod repeats;
mod requests;
mod sdk;
mod stops;
mod store;
mod tools;
mod turns;
