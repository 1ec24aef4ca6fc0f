//! The self-hosted chat: turns, repeats, stops, crashes and pages.

mod fixture;
mod turns;
