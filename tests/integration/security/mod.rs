//! Secrets do not leak, tenants cannot read or change each other's data, and restrictive row
//! policies of the project apply to every function.

mod restrictive_policies;
mod secrets;
mod tenancy;
