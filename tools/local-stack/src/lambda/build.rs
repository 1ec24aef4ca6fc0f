//! The functions' binaries, built by cargo as they are built for Lambda: each package on its own features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::routes::Routes;
use super::template::Template;
use crate::project;

/// How the functions are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Quickly, for tests.
    #[default]
    Dev,
    /// As for deployment, for measuring.
    Release,
}

/// What the workspace says about itself.
pub struct Workspace {
    /// The packages under `functions/`.
    pub functions: Vec<String>,
    /// Which of them answers what.
    pub routes: Routes,
    /// How they are deployed.
    pub template: Template,
}

/// The binary of each function.
pub type Binaries = BTreeMap<String, PathBuf>;

/// What was built so far. Who builds holds it, since cargo builds one thing after the other anyway.
static BUILT: Mutex<BTreeMap<(Vec<String>, Profile), Binaries>> = Mutex::const_new(BTreeMap::new());

static WORKSPACE: OnceCell<Workspace> = OnceCell::const_new();

/// The project's functions, built once for this process.
pub async fn functions(profile: Profile) -> Result<Binaries> {
    let packages = &workspace().await?.functions;
    ensure!(
        !packages.is_empty(),
        "there are no functions in {}",
        project::root().join("functions").display()
    );
    built(packages.iter().map(|package| format!("--package={package}")).collect(), profile).await
}

/// An example of a package of the workspace, with the features that it requires.
pub async fn example(package: &str, example: &str, features: &str, profile: Profile) -> Result<PathBuf> {
    let targets = vec![
        format!("--package={package}"),
        format!("--example={example}"),
        format!("--features={features}"),
    ];
    let mut built = built(targets, profile).await?;
    built.remove(example).with_context(|| format!("cargo did not say where it put the example {example}"))
}

/// What cargo says about the workspace.
pub async fn workspace() -> Result<&'static Workspace> {
    WORKSPACE
        .get_or_try_init(|| async {
            tokio::task::spawn_blocking(read_workspace).await.context("asking cargo")?
        })
        .await
}

async fn built(targets: Vec<String>, profile: Profile) -> Result<Binaries> {
    let mut known = BUILT.lock().await;
    let key = (targets, profile);
    if let Some(binaries) = known.get(&key) {
        return Ok(binaries.clone());
    }
    let targets = key.0.clone();
    let building = tokio::task::spawn_blocking(move || build(&targets, profile));
    let binaries = building.await.context("building the functions")??;
    known.insert(key, binaries.clone());
    Ok(binaries)
}

fn read_workspace() -> Result<Workspace> {
    let answer = cargo()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()
        .context("running cargo metadata")?;
    ensure!(answer.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&answer.stderr));
    let metadata: Value =
        serde_json::from_slice(&answer.stdout).context("reading what cargo metadata said")?;
    let home = project::root().join("functions");
    let mut functions = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        if let (true, Some(name)) = (manifest.starts_with(&home), package["name"].as_str()) {
            functions.push(name.to_owned());
        }
    }
    Ok(Workspace { functions, routes: Routes::of(&metadata["metadata"])?, template: Template::read()? })
}

/// Builds and says where the programs are. Cargo's own messages go to the terminal.
fn build(targets: &[String], profile: Profile) -> Result<Binaries> {
    let mut command = cargo();
    command.arg("build").args(targets).arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        command.arg("--release");
    }
    let answer = command.stderr(Stdio::inherit()).output().context("running cargo build")?;
    if !answer.status.success() {
        bail!("the functions do not build; cargo's messages are above");
    }
    let mut binaries = Binaries::new();
    for line in String::from_utf8_lossy(&answer.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        if let (Some(name), Some(program)) =
            (message["target"]["name"].as_str(), message["executable"].as_str())
        {
            binaries.insert(name.to_owned(), PathBuf::from(program));
        }
    }
    Ok(binaries)
}

/// The cargo that runs us.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_our_package(&mut command);
    command.current_dir(project::root()).stdin(Stdio::null());
    command
}

/// Keeps from a command what cargo told us about ourselves: build scripts would take it to be about them.
pub fn forget_our_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if about_us.iter().any(|prefix| told.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}
