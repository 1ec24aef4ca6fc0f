//! Installs a tool once, even if several processes request it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::python::{Layout, Python};
use super::{Installed, Tool, ToolError};
use crate::{cache, process_reaper};

/// Created last: a folder without it is incomplete.
const COMPLETE: &str = "complete";

/// Installs into the cache that all checkouts of the project share.
pub(super) fn install(tool: &Tool) -> Result<Installed, ToolError> {
    install_in(&cache::folder("tools")?, tool, None)
}

/// Installs into a given cache with a given layout.
pub(super) fn install_in(cache: &Path, tool: &Tool, layout: Option<Layout>) -> Result<Installed, ToolError> {
    let mut python = Python::find(tool)?;
    python.layout = layout.unwrap_or(python.layout);
    Ok(install_with(cache, tool, python)?)
}

fn install_with(cache: &Path, tool: &Tool, python: Python) -> anyhow::Result<Installed> {
    let name = format!("{}-{:016x}", tool.name, cache_key(&(tool.requirements, &python)));
    let folder = install_once(cache, &name, |folder, lock| install_into(folder, tool, &python, lock))?;
    Ok(Installed::new(folder, python, tool.environment))
}

/// Returns the folder of this name in the cache, and creates it first if necessary. Concurrent
/// processes wait for each other.
pub(super) fn install_once(
    cache: &Path,
    name: &str,
    make: impl FnOnce(&Path, &File) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = cache.join(name);
    if !folder.join(COMPLETE).is_file() {
        fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
        let path = folder.with_extension("lock");
        let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        lock.lock().with_context(|| format!("waiting for {}", path.display()))?;
        // Another process may have finished it meanwhile.
        if !folder.join(COMPLETE).is_file() {
            eprintln!("installing {name} into {} (once)", cache.display());
            if folder.exists() {
                fs::remove_dir_all(&folder).context("removing an incomplete installation")?;
            }
            fs::create_dir_all(&folder)?;
            make(&folder, &lock).with_context(|| format!("installing {name}"))?;
            fs::write(folder.join(COMPLETE), "")?;
        }
    }
    Ok(folder)
}

/// Returns a hash of the pins, so that other pins or another Python use another folder.
pub(super) fn cache_key(pins: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    pins.hash(&mut hasher);
    hasher.finish()
}

/// Installs into the final folder, because the packages of pip contain its path.
fn install_into(folder: &Path, tool: &Tool, python: &Python, lock: &File) -> anyhow::Result<()> {
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, tool.requirements)?;
    let mut pip = match python.layout {
        Layout::Venv => {
            run(Command::new(&python.executable).args(["-m", "venv"]).arg(folder), lock)?;
            Command::new(folder.join("bin/python"))
        }
        Layout::Target => Command::new(&python.executable),
    };
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    pip.arg("--requirement").arg(&requirements);
    if python.layout == Layout::Target {
        pip.arg("--target").arg(folder);
    }
    run(&mut pip, lock)
}

/// Runs a command to its end. The child holds the lock too, so that a child that outlives this
/// process still blocks others.
pub(super) fn run(command: &mut Command, lock: &File) -> anyhow::Result<()> {
    command.stdin(lock.try_clone()?).stdout(Stdio::null()).env_remove("PYTHONPATH");
    // Personal settings that break `--target`.
    command.env_remove("PIP_REQUIRE_VIRTUALENV").env_remove("PIP_USER");
    command.stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let pid = child.id();
    process_reaper::watch(pid, process_reaper::Termination::Kill)?;
    let output = child.wait_with_output().with_context(|| format!("waiting for {command:?}"));
    process_reaper::forget(pid);
    let output = output?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} exited with {}: {}", output.status, stderr.trim());
    }
    Ok(())
}
