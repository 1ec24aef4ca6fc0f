//! A tool is installed once, whole, whoever asks at the same time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use local_stack::toolchain::{Installed, Layout, Tool, ToolError};

/// Makes a wheel of one module that says its name, so that no registry is needed.
const WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("a_tool.py", "print('a tool')")
    info = "a_tool-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: a-tool\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "")
"#;

fn tool(requirements: String) -> Tool {
    Tool { name: "a-tool", requirements: requirements.leak(), python: (3, 9), environment: &[] }
}

/// A tool that is the wheel in that folder.
fn wheel(folder: &Path) -> Result<Tool> {
    // Any Python will do, and if there is none, installing says so.
    let path = folder.join("a_tool-1.0-py3-none-any.whl");
    Command::new("python3").args(["-c", WHEEL]).arg(&path).status().ok();
    Ok(tool(format!("{}\n", path.to_str().context("an odd temporary folder")?)))
}

fn says(installed: &Installed) -> Result<String> {
    let output = installed.python().args(["-m", "a_tool"]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

fn only_folder(cache: &Path) -> Result<Option<PathBuf>> {
    let entries: Vec<PathBuf> =
        fs::read_dir(cache)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    Ok(entries.into_iter().find(|path| path.is_dir()))
}

// NAME: tools: a tool is installed where there is no venv
/// With `pip install --target`; that `venv` does as well shows whatever else here needs a tool.
#[tokio::test]
async fn a_tool_is_installed_without_venv() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let installed = wheel(cache.path())?.install_in(cache.path(), Layout::Target)?;
    assert_eq!(says(&installed)?, "a tool\n");
    Ok(())
}

// NAME: tools: what is half made is not used
/// What a killed installation left behind is made anew.
#[tokio::test]
async fn what_is_half_made_is_not_used() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let tool = wheel(cache.path())?;
    let folder = tool.install_in(cache.path(), Layout::Target)?.folder().to_owned();
    fs::remove_file(folder.join("complete"))?;
    fs::write(folder.join("a_tool.py"), "half of a t")?;
    assert_eq!(says(&tool.install_in(cache.path(), Layout::Target)?)?, "a tool\n");
    Ok(())
}

// NAME: tools: many askers get one whole folder
/// Who asks while it is being made waits for that, and does not begin again.
#[tokio::test]
async fn many_askers_get_one_whole_folder() -> Result<()> {
    let cache = Arc::new(tempfile::tempdir()?);
    let tool = wheel(cache.path())?;
    let ask = || {
        let cache = cache.clone();
        thread::spawn(move || tool.install_in(cache.path(), Layout::Target))
    };
    let first = ask();
    let folder = loop {
        match only_folder(cache.path())? {
            Some(folder) => break folder,
            None if first.is_finished() => {
                return Err(joined(first)?.err().context("installed, and no folder")?.into());
            }
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    // Whoever began again would begin with an empty folder.
    let mark = folder.join("mark");
    fs::write(&mark, "")?;
    let askers = [first, ask(), ask(), ask()];
    for asker in askers {
        let installed = joined(asker)??;
        assert_eq!((says(&installed)?.as_str(), installed.folder()), ("a tool\n", folder.as_path()));
    }
    assert!(mark.exists(), "it was made more than once");
    Ok(())
}

fn joined<T>(thread: thread::JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("an asker panicked"))
}

// NAME: tools: what cannot be installed is not taken for installed
/// What failed is tried again, not taken for installed; and the error says what went wrong.
#[tokio::test]
async fn what_cannot_be_installed_is_not_taken_for_installed() -> Result<()> {
    let cache = tempfile::tempdir()?;
    for _ in 0..2 {
        let error = tool("./no-such.whl\n".to_owned()).install_in(cache.path(), Layout::Target).err();
        match error.context("it was installed")? {
            ToolError::Failed(error) => {
                let error = format!("{error:#}");
                assert!(error.contains("installing a-tool") && error.contains("no-such.whl"), "{error}");
            }
            no_python => return Err(no_python.into()),
        }
    }
    Ok(())
}
