//! A tool that is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::python::{Layout, Python};

/// A tool in its folder. How to run it depends on how it was installed, so commands are made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    folder: PathBuf,
    python: Python,
}

impl Installed {
    pub(super) fn new(folder: PathBuf, python: Python) -> Self {
        Self { folder, python }
    }

    /// The folder that holds it; of use to those who look for more than its programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its programs are.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> Command {
        self.with_packages(Command::new(self.programs().join(name)))
    }

    /// A Python that sees its packages and no others that a user installed.
    pub fn python(&self) -> Command {
        let executable = match self.python.layout {
            Layout::Venv => self.programs().join("python"),
            Layout::Target => self.python.executable.clone(),
        };
        let mut command = self.with_packages(Command::new(executable));
        command.arg("-s");
        command
    }

    fn with_packages(&self, mut command: Command) -> Command {
        if self.python.layout == Layout::Target {
            command.env("PYTHONPATH", &self.folder);
        }
        command
    }
}
