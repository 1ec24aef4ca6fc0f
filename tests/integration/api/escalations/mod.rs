//! Reading, filtering and claiming escalations, and what a decision keeps.

mod claims;
mod comments;
mod details;
mod display;
mod lists;
mod may_decide;
mod plans;
