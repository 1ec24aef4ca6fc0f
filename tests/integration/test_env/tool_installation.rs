//! Installation of Python tools: once, completely, also when processes request it concurrently.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use local_stack::toolchain::{Installed, Layout, Tool, ToolError};

use crate::support::skip;

/// Writes a wheel with a module that prints its name. With it the tests need no registry.
const WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("a_tool.py", "print('a tool')")
    info = "a_tool-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: a-tool\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "")
"#;

#[tokio::test]
async fn install_without_venv_uses_pip_target() -> Result<()> {
    skip::with_tools(async {
        let cache = tempfile::tempdir()?;
        let installed = tool_from_wheel(cache.path())?.install_in(cache.path(), Layout::Target)?;
        assert_eq!(run_module(&installed)?, "a tool\n");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn incomplete_installation_is_replaced() -> Result<()> {
    skip::with_tools(async {
        let cache = tempfile::tempdir()?;
        let tool = tool_from_wheel(cache.path())?;
        let folder = tool.install_in(cache.path(), Layout::Target)?.folder().to_owned();
        fs::remove_file(folder.join("complete"))?;
        fs::write(folder.join("a_tool.py"), "print('incom")?;
        assert_eq!(run_module(&tool.install_in(cache.path(), Layout::Target)?)?, "a tool\n");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn concurrent_installations_share_one_folder() -> Result<()> {
    skip::with_tools(async {
        let cache = Arc::new(tempfile::tempdir()?);
        let tool = tool_from_wheel(cache.path())?;
        let install = || {
            let cache = cache.clone();
            thread::spawn(move || tool.install_in(cache.path(), Layout::Target))
        };
        let first = install();
        let folder = loop {
            match only_folder(cache.path())? {
                Some(folder) => break folder,
                None if first.is_finished() => {
                    return Err(join(first)?
                        .err()
                        .context("the tool is installed, but has no folder")?
                        .into());
                }
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        // A second installation would empty the folder.
        let marker = folder.join("marker");
        fs::write(&marker, "")?;
        let installations = [first, install(), install(), install()];
        for installation in installations {
            let installed = join(installation)??;
            assert_eq!(
                (run_module(&installed)?.as_str(), installed.folder()),
                ("a tool\n", folder.as_path())
            );
        }
        assert!(marker.exists(), "expected one installation");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn failed_installation_is_reported_and_retried() -> Result<()> {
    skip::with_tools(async {
        let cache = tempfile::tempdir()?;
        for _ in 0..2 {
            let error = tool("./no-such.whl\n".to_owned()).install_in(cache.path(), Layout::Target).err();
            match error.context("expected that the installation fails")? {
                ToolError::Failed(error) => {
                    let error = format!("{error:#}");
                    assert!(error.contains("installing a-tool") && error.contains("no-such.whl"), "{error}");
                }
                no_python @ ToolError::NoPython(_) => return Err(no_python.into()),
            }
        }
        Ok(())
    })
    .await
}

fn tool(requirements: String) -> Tool {
    Tool { name: "a-tool", requirements: requirements.leak(), python: (3, 9), environment: &[] }
}

/// Writes the wheel to a folder, and returns it as a tool.
fn tool_from_wheel(folder: &Path) -> Result<Tool> {
    // Without Python the installation reports the error.
    let path = folder.join("a_tool-1.0-py3-none-any.whl");
    Command::new("python3").args(["-c", WHEEL]).arg(&path).status().ok();
    Ok(tool(format!("{}\n", path.to_str().context("the path of the temporary folder is not UTF-8")?)))
}

fn run_module(installed: &Installed) -> Result<String> {
    let output = installed.python().args(["-m", "a_tool"]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

fn only_folder(cache: &Path) -> Result<Option<PathBuf>> {
    let entries: Vec<PathBuf> =
        fs::read_dir(cache)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    Ok(entries.into_iter().find(|path| path.is_dir()))
}

fn join<T>(thread: thread::JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("an installation panicked"))
}
