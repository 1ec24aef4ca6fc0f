//! A tool is installed once, whole, whoever asks at the same time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::{Context, Result, ensure};
use local_stack::tools::{Installed, Layout, Tool, ToolError};

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
    Tool { name: "a-tool", requirements: requirements.leak(), python: (3, 9) }
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

fn only_folder(cache: &Path) -> Result<PathBuf> {
    let entries: Vec<PathBuf> =
        fs::read_dir(cache)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    let mut folders = entries.into_iter().filter(|path| path.is_dir());
    let folder = folders.next().context("no folder was made")?;
    ensure!(folders.next().is_none(), "more than one folder was made");
    Ok(folder)
}

/// With `venv` and, where that is missing, with `pip install --target`.
pub async fn a_tool_is_installed_with_and_without_venv() -> Result<()> {
    for layout in [Layout::Venv, Layout::Target] {
        let cache = tempfile::tempdir()?;
        let installed = wheel(cache.path())?.install_in(cache.path(), layout)?;
        assert_eq!(says(&installed)?, "a tool\n", "{layout:?}");
    }
    Ok(())
}

/// Four at once get one folder; and what a killed installation left is made anew.
pub async fn many_askers_get_one_whole_folder() -> Result<()> {
    let cache = Arc::new(tempfile::tempdir()?);
    let tool = wheel(cache.path())?;
    let first = tool.install_in(cache.path(), Layout::Target)?;
    let folder = only_folder(cache.path())?;
    fs::remove_file(folder.join("complete"))?;
    fs::write(folder.join("a_tool.py"), "half of a t")?;
    assert_ne!(says(&first)?, "a tool\n");

    let start = Arc::new(Barrier::new(4));
    let ask = |_| {
        let (cache, start) = (cache.clone(), start.clone());
        thread::spawn(move || -> Result<(String, PathBuf)> {
            start.wait();
            let installed = tool.install_in(cache.path(), Layout::Target)?;
            let ino = folder_inode(installed.folder())?;
            Ok((format!("{}{ino}", says(&installed)?), installed.folder().to_owned()))
        })
    };
    let askers: Vec<_> = (0..4).map(ask).collect();
    for asker in askers {
        let (said, at) = asker.join().map_err(|_| anyhow::anyhow!("an asker panicked"))??;
        assert_eq!((said, &at), (format!("a tool\n{}", folder_inode(&folder)?), &folder));
    }
    Ok(())
}

/// Which folder it is: one that is removed and made again is another.
fn folder_inode(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(folder)?.ino())
}

/// What failed is tried again, not taken for installed; and the error says what went wrong.
pub async fn what_cannot_be_installed_is_not_taken_for_installed() -> Result<()> {
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
