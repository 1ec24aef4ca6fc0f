//! Nothing this process starts outlives it, however it ends.
//!
//! One small shell waits on a pipe that only this process holds open. Every child process and temporary folder
//! is named to it; when the pipe closes, because [`finish`] was called or because this process was killed,
//! the shell ends what is left and removes the folders. (The kernel's `PR_SET_PDEATHSIG` follows the thread
//! that made the child, not the process, and threads of an async runtime come and go.)

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

/// Reads `kill PID`, `quit PID`, `forget PID` and `folder PATH`, a line each, until the pipe closes. Signals of
/// the terminal are ignored, since Ctrl-C reaches the whole group and the cleaning up must come after it.
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

/// What the guardian does to a process that is still there at the end.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// SIGKILL, for what keeps nothing.
    Kill,
    /// SIGQUIT and five seconds of patience, with which PostgreSQL ends its own children.
    Quit,
}

struct Guardian {
    shell: Child,
    orders: ChildStdin,
}

static GUARDIAN: Mutex<Option<Guardian>> = Mutex::new(None);

/// Has process `pid` ended with this process.
pub fn watch(pid: u32, end: End) -> Result<()> {
    let verb = match end {
        End::Kill => "kill",
        End::Quit => "quit",
    };
    order(&format!("{verb} {pid}\n"))
}

/// Takes back [`watch`], once the process has ended and been waited for: its number may be given to another.
pub fn forget(pid: u32) {
    // A guardian that was killed itself has forgotten everything.
    let _ = order(&format!("forget {pid}\n"));
}

/// Has a file, or a folder and all in it, removed with this process.
pub fn remove(folder: &Path) -> Result<()> {
    match folder.to_str() {
        Some(path) if !path.contains('\n') => order(&format!("folder {path}\n")),
        _ => bail!("{} is a name that a line of text can't hold", folder.display()),
    }
}

/// Ends and removes everything now, and waits until that is done. A later call of the others starts afresh.
pub fn finish() -> Result<()> {
    let Some(Guardian { mut shell, orders }) = lock().take() else { return Ok(()) };
    drop(orders);
    shell.wait().context("waiting for the guardian of the child processes")?;
    Ok(())
}

fn order(line: &str) -> Result<()> {
    let mut guardian = lock();
    let guardian = match &mut *guardian {
        Some(guardian) => guardian,
        none => none.insert(start()?),
    };
    guardian.orders.write_all(line.as_bytes()).context("the guardian of the child processes has gone")
}

fn start() -> Result<Guardian> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        // A group of its own, so that a signal to ours does not reach it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the shell that ends child processes")?;
    let orders = shell.stdin.take().context("the guardian's pipe")?;
    Ok(Guardian { shell, orders })
}

fn lock() -> MutexGuard<'static, Option<Guardian>> {
    GUARDIAN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::*;

    /// The only test of this process that uses the guardian, since there is one for the process.
    #[test]
    fn what_is_watched_ends_and_what_is_forgotten_stays() {
        let sleep = || Command::new("sleep").arg("60").spawn().unwrap();
        let (mut watched, mut forgotten) = (sleep(), sleep());
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::write(folder.join("a file"), "text").unwrap();

        watch(watched.id(), End::Kill).unwrap();
        watch(forgotten.id(), End::Kill).unwrap();
        remove(&folder).unwrap();
        forget(forgotten.id());
        finish().unwrap();

        assert!(!watched.wait().unwrap().success());
        assert!(!folder.exists());
        assert_eq!(forgotten.try_wait().unwrap(), None);
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
