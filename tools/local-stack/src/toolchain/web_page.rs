//! Builds the page of `cargo dev` from `web/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::install::{cache_key, install_once, run};
use super::{ToolError, WEB};
use crate::project;

/// The files and folders of `web/` from which the page is built.
const SOURCES: [&str; 5] = ["page", "src", "package.json", "tsconfig.json", "vite.page.config.ts"];

/// A path in `web/`, and the content of the file.
type Source = (PathBuf, Vec<u8>);

/// Returns the folder of the built page. Builds it first if the sources have changed, with a
/// Node.js and packages of its own. The first build takes about a minute, and later ones take
/// seconds.
///
/// # Errors
/// Returns an error if the machine does not have a suitable Python, if the packages cannot be
/// downloaded, or if the page cannot be built.
pub fn build() -> Result<PathBuf, ToolError> {
    let packages = WEB.install()?;
    let web = project::root().join("web");
    let mut sources = Vec::new();
    for name in SOURCES {
        read(&web, Path::new(name), &mut sources)?;
    }
    sources.sort();
    let name = format!("page-{:016x}", cache_key(&sources));
    // Node.js finds the packages in the parent folder.
    let folder = install_once(packages.folder(), &name, |folder, lock| {
        for (path, content) in &sources {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().context("a source without a folder")?)?;
            fs::write(path, content)?;
        }
        let mut vite = packages.node();
        vite.arg(packages.folder().join("node_modules/vite/bin/vite.js"));
        vite.args(["build", "--config", "vite.page.config.ts", "--logLevel", "warn"]);
        run(vite.current_dir(folder).env("NODE_ENV", "production"), lock)
    })?;
    Ok(folder.join("dist-page"))
}

/// Reads a file, or all files of a folder.
fn read(web: &Path, path: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let full = web.join(path);
    let reading = || format!("reading {}", full.display());
    if !full.is_dir() {
        sources.push((path.to_owned(), fs::read(&full).with_context(reading)?));
        return Ok(());
    }
    for entry in fs::read_dir(&full).with_context(reading)? {
        read(web, &path.join(entry?.file_name()), sources)?;
    }
    Ok(())
}
