//! Where things from package registries are kept between runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder of the cache, made if it isn't there: under `XDG_CACHE_HOME`, `~/.cache`, or for root `/var/cache`.
pub fn folder(name: &str) -> Result<PathBuf> {
    let folder = root().join("chatkit-sessions").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making the cache folder {}", folder.display()))?;
    Ok(folder)
}

fn root() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .filter(|folder| folder.is_absolute());
    match home {
        // PostgreSQL runs as somebody else where we are root, who may not look into root's home.
        Some(folder) if !rustix::process::geteuid().is_root() || open_to_all(&folder) => folder,
        None if !rustix::process::geteuid().is_root() => std::env::temp_dir(),
        _ => PathBuf::from("/var/cache"),
    }
}

/// Whether every existing folder on the way may be entered by everybody.
pub fn open_to_all(folder: &Path) -> bool {
    folder
        .ancestors()
        .filter_map(|part| fs::metadata(part).ok())
        .all(|part| part.permissions().mode() & 0o001 != 0)
}
