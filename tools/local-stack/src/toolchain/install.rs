//! Making a tool's folder, once, whoever asks.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::python::{Layout, Python};
use super::{Installed, Tool, ToolError};
use crate::{cache, process_reaper};

/// Written last: a folder without it is half made.
const COMPLETE: &str = "complete";

/// In the cache that all copies of this project share.
pub(super) fn install(tool: &Tool) -> Result<Installed, ToolError> {
    install_in(&cache::folder("tools")?, tool, None)
}

/// In a cache of one's choice, and laid out as said instead of as is best here.
pub(super) fn install_in(cache: &Path, tool: &Tool, layout: Option<Layout>) -> Result<Installed, ToolError> {
    let mut python = Python::find(tool)?;
    python.layout = layout.unwrap_or(python.layout);
    Ok(install_with(cache, tool, python)?)
}

fn install_with(cache: &Path, tool: &Tool, python: Python) -> anyhow::Result<Installed> {
    let name = format!("{}-{:016x}", tool.name, key(&(tool.requirements, &python)));
    let folder = once(cache, &name, |folder, lock| make(folder, tool, &python, lock))?;
    Ok(Installed::new(folder, python, tool.environment))
}

/// The folder of this name in the cache, made first where it is not there yet. Another process that makes it is waited for.
pub(super) fn once(
    cache: &Path,
    name: &str,
    make: impl FnOnce(&Path, &File) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = cache.join(name);
    if !folder.join(COMPLETE).is_file() {
        fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
        let path = folder.with_extension("lock");
        let lock = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        lock.lock().with_context(|| format!("waiting for {}", path.display()))?;
        // Another process may have made it while this one waited.
        if !folder.join(COMPLETE).is_file() {
            eprintln!("installing {name}, once, into {}", cache.display());
            if folder.exists() {
                fs::remove_dir_all(&folder).context("removing what was half made")?;
            }
            fs::create_dir_all(&folder)?;
            make(&folder, &lock).with_context(|| format!("installing {name}"))?;
            fs::write(folder.join(COMPLETE), "")?;
        }
    }
    Ok(folder)
}

/// Other pins, or another Python, get another folder.
pub(super) fn key(pins: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    pins.hash(&mut hasher);
    hasher.finish()
}

/// Makes the folder where it will stay: what pip installs knows its own path.
fn make(folder: &Path, tool: &Tool, python: &Python, lock: &File) -> anyhow::Result<()> {
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

/// Runs to the end. The child holds the lock as well, so that one which outlives us still keeps others out.
pub(super) fn run(command: &mut Command, lock: &File) -> anyhow::Result<()> {
    command.stdin(lock.try_clone()?).stdout(Stdio::null()).env_remove("PYTHONPATH");
    // Set by some people for their own work; `--target` has none.
    command.env_remove("PIP_REQUIRE_VIRTUALENV").env_remove("PIP_USER");
    command.stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let pid = child.id();
    process_reaper::watch(pid, process_reaper::End::Kill)?;
    let output = child.wait_with_output().with_context(|| format!("waiting for {command:?}"));
    process_reaper::forget(pid);
    let output = output?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {}", output.status, said.trim());
    }
    Ok(())
}
