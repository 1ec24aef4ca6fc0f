//! The cache of downloads from package registries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Returns a folder of the cache and creates it if necessary. The cache is under `XDG_CACHE_HOME`,
/// `~/.cache`, or for root `/var/cache`.
pub fn folder(name: &str) -> Result<PathBuf> {
    let folder = root().join("chatkit-sessions").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("creating the cache folder {}", folder.display()))?;
    Ok(folder)
}

fn root() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .filter(|folder| folder.is_absolute());
    match home {
        // As root, PostgreSQL runs as another user, who cannot enter root's home.
        Some(folder) if !rustix::process::geteuid().is_root() || is_traversable_by_all(&folder) => folder,
        None if !rustix::process::geteuid().is_root() => std::env::temp_dir(),
        _ => PathBuf::from("/var/cache"),
    }
}

/// Returns whether every user may enter each existing folder of the path.
pub fn is_traversable_by_all(folder: &Path) -> bool {
    folder
        .ancestors()
        .filter_map(|part| fs::metadata(part).ok())
        .all(|part| part.permissions().mode() & 0o001 != 0)
}
