//! Writes the environment of a running stack as a file for `cargo lambda watch --env-file`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use local_stack::LocalStack;
use local_stack::{process_reaper, project};

/// The file's name in the project's root; git ignores it.
const NAME: &str = ".env.local";

/// The environment file. It is removed when this value is dropped, because the stack no longer
/// exists then.
pub struct EnvFile {
    path: PathBuf,
}

impl EnvFile {
    /// Writes the file into the project's root, readable only by its owner.
    pub fn write(stack: &LocalStack) -> Result<Self> {
        Self::write_to(stack, project::root().join(NAME))
    }

    /// Writes the file to another path.
    pub fn write_to(stack: &LocalStack, path: PathBuf) -> Result<Self> {
        // Also removed if this process is killed.
        process_reaper::remove_at_exit(&path)?;
        let open = || -> std::io::Result<File> {
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)
        };
        let mut file = open().with_context(|| format!("writing {}", path.display()))?;
        file.write_all(text(stack).as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Variables that Lambda sets. The watcher does not check credentials, and serves Lambda's API at
/// its default address.
const AWS_VARIABLES: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
    ("AWS_REGION", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
];

fn text(stack: &LocalStack) -> String {
    let own = stack.environment().all_variables().into_iter();
    let aws = AWS_VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables: BTreeMap<String, String> = aws.into_iter().chain(own).collect();
    // Quoted, because cargo-lambda rejects unquoted values with an equals sign. A shell accepts it
    // too.
    variables.into_iter().map(|(name, value)| format!("{name}='{value}'\n")).collect()
}
