//! What the migrations make, compiled in. A test keeps it true, and writes it anew when told to (docs/operations/doctor.md). PostgreSQL 15 and 18
//! print policies and grants alike.

use serde::Deserialize;

use super::state::Schema;

/// The migrations' files and the schema after the last of them.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub migrations: Vec<String>,
    pub schema: Schema,
}

impl Manifest {
    /// The one of this version.
    pub fn read() -> Option<Self> {
        serde_json::from_str(include_str!("manifest.json")).ok()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_compiled_in_can_be_read() {
        let manifest = super::Manifest::read().unwrap();
        assert!(!manifest.migrations.is_empty() && !manifest.schema.tables.is_empty());
    }
}
