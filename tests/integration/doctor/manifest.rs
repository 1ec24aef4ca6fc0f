//! The manifest of the doctor equals the schema that the migrations create. `UPDATE_MANIFEST=1`
//! writes it.

use std::fs;

use anyhow::{Context, Result, ensure};
use local_stack::postgres::{Database, Grants};
use serde_json::{Value, json};

use crate::support::project_files::root;

const MANIFEST: &str = "shared/src/doctor/manifest.json";

#[tokio::test]
async fn manifest_equals_schema_for_old_and_new_default_grants() -> Result<()> {
    let schema = read_schema(Grants::Since20261030).await?;
    let with_old_grants = read_schema(Grants::Before20261030).await?;
    ensure!(schema == with_old_grants, "the default grants change the schema");
    let expected = json!({ "migrations": migrations()?, "schema": schema });
    let path = root()?.join(MANIFEST);
    if std::env::var_os("UPDATE_MANIFEST").is_some() {
        fs::write(&path, format!("{expected:#}\n"))?;
    }
    let manifest: Value = serde_json::from_str(&fs::read_to_string(&path)?).context(MANIFEST)?;
    ensure!(
        manifest == expected,
        "{MANIFEST} differs from the schema. Review the change of the migrations, then run this test with \
         UPDATE_MANIFEST=1"
    );
    Ok(())
}

/// The schema of a new database, as the doctor reads it.
async fn read_schema(grants: Grants) -> Result<Value> {
    let database = Database::create(grants).await?;
    let query = sqlx::query_scalar("select public.deployment_state() -> 'schema'");
    let schema: Value = query.fetch_one(database.pool()).await?;
    database.remove().await?;
    Ok(schema)
}

fn migrations() -> Result<Vec<String>> {
    let files = fs::read_dir(root()?.join("migrations"))?;
    let mut names: Vec<String> =
        files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.retain(|name| name.ends_with(".sql"));
    names.sort();
    Ok(names)
}
