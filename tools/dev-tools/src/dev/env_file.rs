//! The configuration of a running stack, as a file for `cargo lambda watch --env-file`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use local_stack::LocalStack;
use local_stack::{process_reaper, project};

/// Its name in the root of the project, which git does not look at.
const NAME: &str = ".env.local";

/// The file. It goes when this is dropped, since it leads nowhere then.
pub struct EnvFile {
    path: PathBuf,
}

impl EnvFile {
    /// Writes it into the root of the project, readable by its owner alone.
    pub fn write(stack: &LocalStack) -> Result<Self> {
        Self::write_to(stack, project::root().join(NAME))
    }

    /// Writes it somewhere else.
    pub fn write_to(stack: &LocalStack, path: PathBuf) -> Result<Self> {
        // Also where this process is killed: it would lead nowhere.
        process_reaper::remove(&path)?;
        let open = || -> std::io::Result<File> {
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)
        };
        let mut file = open().with_context(|| format!("writing {}", path.display()))?;
        file.write_all(text(stack).as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn text(stack: &LocalStack) -> String {
    let variables: BTreeMap<String, String> = stack.environment().whole().into_iter().collect();
    // Quoted, because cargo-lambda refuses a bare value that has an equals sign; a shell takes it as well.
    variables.into_iter().map(|(name, value)| format!("{name}='{value}'\n")).collect()
}
