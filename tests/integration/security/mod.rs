mod restrictive_policies;
mod secrets;
mod tenancy;
