//! What is compiled into the doctor is what the migrations make. `UPDATE_MANIFEST=1` has it written anew.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use local_stack::postgres::{Database, Grants};
use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the doctor would be told of a database that has just been made.
async fn made(grants: Grants) -> Result<Value> {
    let database = Database::create(grants).await?;
    let asked = sqlx::query_scalar("select public.deployment_state() -> 'schema'");
    let schema: Value = asked.fetch_one(database.pool()).await?;
    database.remove().await?;
    Ok(schema)
}

fn migrations() -> Result<Vec<String>> {
    let files = fs::read_dir(root().join("migrations"))?;
    let mut names: Vec<String> =
        files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.retain(|name| name.ends_with(".sql"));
    names.sort();
    Ok(names)
}

// NAME: doctor: its manifest is what the migrations make, whatever the default grants
#[tokio::test]
async fn kept() -> Result<()> {
    let (since, before) = (made(Grants::Since20261030).await?, made(Grants::Before20261030).await?);
    ensure!(since == before, "the default grants make a difference");
    let expected = json!({ "migrations": migrations()?, "schema": since });
    let path = root().join("shared/src/doctor/manifest.json");
    if std::env::var_os("UPDATE_MANIFEST").is_some() {
        fs::write(&path, format!("{expected:#}\n"))?;
    }
    let compiled_in: Value = serde_json::from_str(&fs::read_to_string(&path)?).context("the manifest")?;
    ensure!(
        compiled_in == expected,
        "shared/src/doctor/manifest.json is not what the migrations make. Look at what they changed, then run this test with \
         UPDATE_MANIFEST=1"
    );
    Ok(())
}
