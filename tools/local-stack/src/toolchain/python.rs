//! Finds a Python and its capabilities.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Tool, ToolError};

/// The names to try, in order.
const EXECUTABLES: [&str; 7] =
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

/// Prints version, executable, and whether `venv` (a separate package on Debian) and `pip` are
/// available.
const PROBE: &str = r#"
import importlib.util, sys
has = lambda *names: all(importlib.util.find_spec(name) for name in names)
print(sys.version_info.major, sys.version_info.minor, sys.implementation.cache_tag)
print(sys.executable)
print(has("venv", "ensurepip"), has("pip"))
"#;

/// Isolation of packages from the rest of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A virtual environment.
    Venv,
    /// `pip install --target`, for a Python without `venv`.
    Target,
}

/// A Python that can install and run a tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Python {
    pub(super) executable: PathBuf,
    /// The tag in the names of compiled files, for example `cpython-311`. Packages of different
    /// tags are incompatible.
    pub(super) tag: String,
    pub(super) layout: Layout,
}

struct PythonInfo {
    version: (u32, u32),
    tag: String,
    executable: PathBuf,
    venv: bool,
    pip: bool,
}

impl Python {
    /// Returns the first Python on the PATH that is new enough and can install packages.
    pub(super) fn find(tool: &Tool) -> Result<Self, ToolError> {
        Self::choose(tool, EXECUTABLES.into_iter().filter_map(probe))
    }

    fn choose(tool: &Tool, found: impl Iterator<Item = PythonInfo>) -> Result<Self, ToolError> {
        let (major, minor) = tool.python;
        let mut why = format!("{} needs Python {major}.{minor} or newer", tool.name);
        for python in found {
            let (has, layout) = (python.executable.display(), [Layout::Venv, Layout::Target]);
            let can = [python.venv, python.pip];
            if python.version < tool.python {
                why = format!("{why}; {has} is {}.{}", python.version.0, python.version.1);
            } else if let Some((layout, _)) = layout.into_iter().zip(can).find(|(_, can)| *can) {
                return Ok(Self { executable: python.executable, tag: python.tag, layout });
            } else {
                why = format!("{why}; {has} has neither venv nor pip");
            }
        }
        let hint = "install one with venv (Debian and Ubuntu: apt-get install python3 python3-venv)";
        Err(ToolError::NoPython(format!("{why}: {hint}")))
    }
}

fn probe(name: &str) -> Option<PythonInfo> {
    let output = Command::new(name).args(["-c", PROBE]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let mut version = lines.next()?.split(' ');
    let numbers = (version.next()?.parse().ok()?, version.next()?.parse().ok()?);
    let (tag, executable) = (version.next()?.to_owned(), PathBuf::from(lines.next()?));
    let mut can = lines.next()?.split(' ').map(|word| word == "True");
    Some(PythonInfo { version: numbers, tag, executable, venv: can.next()?, pip: can.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool { name: "a-tool", requirements: "", python: (3, 10), environment: &[] };

    fn probed(minor: u32, venv: bool, pip: bool) -> PythonInfo {
        let executable = PathBuf::from(format!("/usr/bin/python3.{minor}"));
        PythonInfo { version: (3, minor), tag: format!("cpython-3{minor}"), executable, venv, pip }
    }

    fn layout(found: Vec<PythonInfo>) -> Result<(String, Layout), String> {
        let chosen = Python::choose(&TOOL, found.into_iter());
        chosen.map(|p| (p.tag, p.layout)).map_err(|e| e.to_string())
    }

    #[test]
    fn first_suitable_python_is_chosen_with_its_layout() {
        let all = vec![probed(9, true, true), probed(12, false, true), probed(13, true, true)];
        assert_eq!(layout(all), Ok(("cpython-312".to_owned(), Layout::Target)));
        assert_eq!(layout(vec![probed(10, true, true)]), Ok(("cpython-310".to_owned(), Layout::Venv)));
    }

    #[test]
    fn missing_python_error_names_packages_to_install() {
        let nothing = layout(vec![]).unwrap_err();
        assert!(
            nothing.starts_with("a-tool needs Python 3.10") && nothing.contains("python3-venv"),
            "{nothing}"
        );
        let useless = layout(vec![probed(9, true, true), probed(11, false, false)]).unwrap_err();
        assert!(useless.contains("python3.9 is 3.9; /usr/bin/python3.11 has neither"), "{useless}");
    }

    #[test]
    fn programs_other_than_python_are_skipped() {
        assert!(probe("no-such-python").is_none());
        assert!(probe("true").is_none());
    }
}
