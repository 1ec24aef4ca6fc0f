//! Manifest of the schema that the migrations define, compiled in. A test compares it
//! with a database, and rewrites it on request (docs/operations/doctor.md). PostgreSQL 15 and 18
//! print policies and grants alike.

use serde::Deserialize;

use super::state::DatabaseSchema;

/// Files of the migrations, and the schema after the last one.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub migrations: Vec<String>,
    pub schema: DatabaseSchema,
}

impl Manifest {
    /// Reads the manifest of this version.
    pub fn read() -> Option<Self> {
        serde_json::from_str(include_str!("manifest.json")).ok()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn compiled_in_manifest_can_be_parsed() {
        let manifest = super::Manifest::read().unwrap();
        assert!(!manifest.migrations.is_empty() && !manifest.schema.tables.is_empty());
    }
}
