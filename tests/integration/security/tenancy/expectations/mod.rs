//! What is expected, table by table and function by function. What is in the database and not here is a violation.

mod functions;
mod tables;

pub use functions::{
    CALLED_BY_CALLERS, Function, LOOKS_AS_CALLERS, READS_AS_CALLERS, READS_USERS, RUN_BY_POLICIES, Tenant,
    WRITES_FOR_CALLERS, every_function,
};
pub use tables::{MADE_BY_POSTGRES, PLANNED_BY, SESSIONS, Sees, TABLES, Table};
