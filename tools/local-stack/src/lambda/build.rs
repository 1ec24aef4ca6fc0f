//! Builds the functions' binaries with cargo as for Lambda: each package with its own features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::routes::Routes;
use super::template::Template;
use crate::{process_reaper, project};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// The profile of tests.
    #[default]
    Dev,
    /// As for deployment, for measurements.
    Release,
}

/// The functions of the workspace.
pub struct Workspace {
    /// The packages under `functions/`.
    pub functions: Vec<String>,
    pub routes: Routes,
    pub template: Template,
}

/// The binary of each function.
pub type Binaries = BTreeMap<String, PathBuf>;

/// The finished builds. A build holds the lock, because cargo runs one build at a time.
static BUILD_CACHE: Mutex<BTreeMap<(Vec<String>, Profile), Binaries>> = Mutex::const_new(BTreeMap::new());

static WORKSPACE: OnceCell<Workspace> = OnceCell::const_new();

/// Builds the project's functions, once per process.
pub async fn functions(profile: Profile) -> Result<Binaries> {
    let packages = &workspace().await?.functions;
    ensure!(
        !packages.is_empty(),
        "there are no functions in {}",
        project::root().join("functions").display()
    );
    selected_functions(packages.iter().map(String::as_str), profile).await
}

/// Builds some of the project's functions, once per process.
pub async fn selected_functions(names: impl IntoIterator<Item = &str>, profile: Profile) -> Result<Binaries> {
    build_once(names.into_iter().map(|name| format!("--package={name}")).collect(), profile).await
}

/// Builds an example of a package of the workspace, with the features that it requires.
pub async fn example(package: &str, example: &str, features: &str, profile: Profile) -> Result<PathBuf> {
    let targets = vec![
        format!("--package={package}"),
        format!("--example={example}"),
        format!("--features={features}"),
    ];
    let mut built = build_once(targets, profile).await?;
    built.remove(example).with_context(|| format!("cargo reported no executable for the example {example}"))
}

/// Builds an example of a package of the workspace, with the features that the whole workspace
/// requires. After `cargo test --workspace` there is nothing left to compile.
pub async fn workspace_example(name: &str) -> Result<PathBuf> {
    let targets = vec!["--workspace".to_owned(), format!("--example={name}")];
    let mut built = build_once(targets, Profile::Dev).await?;
    built.remove(name).with_context(|| format!("cargo reported no executable for the example {name}"))
}

/// Builds functions of the project that fetch secrets at run time. Their programs have other paths
/// than those of the functions without the feature, so both can run side by side.
pub async fn functions_with_runtime_secrets(names: &[&str], profile: Profile) -> Result<Binaries> {
    const SUFFIX: &str = "-with-runtime-secrets";
    let mut targets = Vec::new();
    for name in names {
        targets.extend([format!("--package={name}"), format!("--example={name}{SUFFIX}")]);
        targets.push(format!("--features={name}/runtime-secrets"));
    }
    let built = build_once(targets, profile).await?;
    let function = |(name, program): (String, PathBuf)| {
        name.strip_suffix(SUFFIX).map(|function| (function.to_owned(), program))
    };
    Ok(built.into_iter().filter_map(function).collect())
}

/// Builds functions for deployment with the feature `runtime-secrets`, as an operator who turns it on
/// does. They are built in a folder of their own, beside those without the feature.
pub async fn functions_for_runtime_secrets(names: impl IntoIterator<Item = &str>) -> Result<Binaries> {
    let mut targets: Vec<String> = names.into_iter().map(|name| format!("--package={name}")).collect();
    targets.extend(["--package=shared", "--features=shared/runtime-secrets"].map(str::to_owned));
    targets.push(format!("--target-dir={}", project::root().join("target/runtime-secrets").display()));
    build_once(targets, Profile::Release).await
}

/// Reads the workspace's metadata, once per process.
pub async fn workspace() -> Result<&'static Workspace> {
    WORKSPACE
        .get_or_try_init(|| async {
            tokio::task::spawn_blocking(read_workspace)
                .await
                .context("reading the metadata of the workspace")?
        })
        .await
}

async fn build_once(targets: Vec<String>, profile: Profile) -> Result<Binaries> {
    let mut known = BUILD_CACHE.lock().await;
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
        serde_json::from_slice(&answer.stdout).context("parsing the output of cargo metadata")?;
    let home = project::root().join("functions");
    let mut functions = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        if let (true, Some(name)) = (manifest.starts_with(&home), package["name"].as_str()) {
            functions.push(name.to_owned());
        }
    }
    Ok(Workspace {
        functions,
        routes: Routes::from_metadata(&metadata["metadata"])?,
        template: Template::read()?,
    })
}

/// Runs `cargo build` and returns the executables. Cargo's messages go to the terminal.
fn build(targets: &[String], profile: Profile) -> Result<Binaries> {
    let mut command = cargo();
    command.arg("build").args(targets).arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        command.arg("--release");
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let child = child.context("running cargo build")?;
    let pid = child.id();
    // A build that waits for another one would outlive this process.
    process_reaper::watch(pid, process_reaper::Termination::Kill)?;
    let answer = child.wait_with_output();
    process_reaper::forget(pid);
    let answer = answer.context("running cargo build")?;
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

/// The cargo that runs this process.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    clear_cargo_package_env(&mut command);
    command.current_dir(project::root()).stdin(Stdio::null());
    command
}

/// Removes cargo's variables about this package from a command. Build scripts would apply them to
/// their own package.
pub fn clear_cargo_package_env(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let variable = name.to_string_lossy();
        let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if prefixes.iter().any(|prefix| variable.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}
