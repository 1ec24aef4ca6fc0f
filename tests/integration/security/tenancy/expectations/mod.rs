//! The expectations of every table and function. An object without expectations is a violation.

mod functions;
mod tables;

pub use functions::{
    AUTH_USERS_READERS, CALLER_FUNCTIONS, Function, POLICY_FUNCTIONS, READ_FUNCTIONS, READ_HELPERS,
    READ_INVOKERS, Tenant, WRITE_FUNCTIONS, WRITE_HELPERS, every_function,
};
pub use tables::{COLUMNS_WITH_STATISTICS, GENERATED_COLUMNS, SESSIONS, TABLES, Table, Visible};
