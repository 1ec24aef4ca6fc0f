//! Ends every child process and removes every temporary folder when this process ends, however it
//! ends.
//!
//! A small shell waits on a pipe that only this process holds open. This process writes the name of
//! each child process and temporary folder to the pipe. The pipe closes when [`finish`] is called
//! or this process is killed; the shell then ends the processes and removes the folders. The
//! kernel's `PR_SET_PDEATHSIG` does not work here: it follows the thread that started the child,
//! and threads of an async runtime come and go.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

/// Reads `kill PID`, `quit PID`, `forget PID` and `folder PATH`, one per line, until the pipe
/// closes. The shell ignores terminal signals, because Ctrl-C reaches the whole process group and
/// the cleanup has to run after it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
kills=' ' quits=' '
without() { case $1 in *" $2 "*) printf '%s' "${1%%" $2 "*} ${1#*" $2 "}" ;; *) printf '%s' "$1" ;; esac; }
while read -r verb what; do
  case $verb in
    kill) kills="$kills$what " ;;
    quit) quits="$quits$what " ;;
    forget) kills=$(without "$kills" "$what") quits=$(without "$quits" "$what") ;;
    folder) set -- "$@" "$what" ;;
  esac
done
for pid in $kills; do kill -KILL "$pid" 2>/dev/null; done
for pid in $quits; do kill -QUIT "$pid" 2>/dev/null; done
for pid in $quits; do
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" 2>/dev/null
done
rm -rf -- "$@"
"#;

/// Signals by which the reaper ends a process that is still running.
#[derive(Clone, Copy, Debug)]
pub enum Termination {
    /// SIGKILL, for a process without state.
    Kill,
    /// SIGQUIT, then SIGKILL after five seconds. PostgreSQL ends its own children on SIGQUIT.
    Quit,
}

struct Reaper {
    shell: Child,
    commands: ChildStdin,
}

static REAPER: Mutex<Option<Reaper>> = Mutex::new(None);

/// Ends process `pid` when this process ends.
pub fn watch(pid: u32, end: Termination) -> Result<()> {
    let verb = match end {
        Termination::Kill => "kill",
        Termination::Quit => "quit",
    };
    send(&format!("{verb} {pid}\n"))
}

/// Undoes [`watch`]. Call it when the process has exited and been waited for, because the system
/// may reuse its id.
pub fn forget(pid: u32) {
    // Ignored: a reaper that was killed has no processes to forget.
    let _ = send(&format!("forget {pid}\n"));
}

/// Removes a file, or a folder with its content, when this process ends.
pub fn remove_at_exit(folder: &Path) -> Result<()> {
    match folder.to_str() {
        Some(path) if !path.contains('\n') => send(&format!("folder {path}\n")),
        _ => bail!("the path {} contains a line break or invalid UTF-8", folder.display()),
    }
}

/// Ends all processes and removes all folders now, and waits for it. The next call of another
/// function starts a new reaper.
pub fn finish() -> Result<()> {
    let Some(Reaper { mut shell, commands }) = lock().take() else { return Ok(()) };
    drop(commands);
    shell.wait().context("waiting for the process reaper")?;
    Ok(())
}

fn send(line: &str) -> Result<()> {
    let mut reaper = lock();
    let reaper = match &mut *reaper {
        Some(reaper) => reaper,
        none => none.insert(start()?),
    };
    reaper.commands.write_all(line.as_bytes()).context("the process reaper has exited")
}

fn start() -> Result<Reaper> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        // In its own group, so that a signal to our group does not reach it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the process reaper")?;
    let commands = shell.stdin.take().context("the process reaper has no pipe")?;
    Ok(Reaper { shell, commands })
}

fn lock() -> MutexGuard<'static, Option<Reaper>> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only test of this process that uses the reaper: there is one per process.
    #[test]
    fn finish_ends_watched_processes_and_keeps_forgotten_ones() {
        let sleep = || Command::new("sleep").arg("60").spawn().unwrap();
        let (mut watched, mut forgotten) = (sleep(), sleep());
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::write(folder.join("a file"), "text").unwrap();

        watch(watched.id(), Termination::Kill).unwrap();
        watch(forgotten.id(), Termination::Kill).unwrap();
        remove_at_exit(&folder).unwrap();
        forget(forgotten.id());
        finish().unwrap();

        assert!(!watched.wait().unwrap().success());
        assert!(!folder.exists());
        assert_eq!(forgotten.try_wait().unwrap(), None);
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
