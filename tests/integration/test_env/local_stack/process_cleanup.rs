//! Nothing outlives the process that started it, even where that is killed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{echoing, get};
use crate::support::skip::skip;

/// Keeps a stack running until this process is killed, for the test below.
#[tokio::test]
#[ignore = "does not end by itself"]
async fn be_killed() -> Result<()> {
    let stack = echoing(LocalStack::builder()).await?;
    get(&stack.function_url("get-session")).await?;
    println!("{}", stack.psql());
    std::future::pending().await
}

// NAME: leftovers: a killed process leaves no process and no folder
#[tokio::test]
async fn killed() -> Result<()> {
    if !Path::new("/proc/self/stat").exists() {
        return skip("this system has no /proc, where processes are looked up");
    }
    let mut holder = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "--nocapture", "test_env::local_stack::process_cleanup::be_killed"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting another process of this program")?;
    let mut said = BufReader::new(holder.stdout.take().context("its output")?).lines();
    // `psql --host FOLDER …`
    let line = said.next_line().await?.context("it said nothing")?;
    let folder = line.split(' ').nth(2).context(line.clone())?.to_owned();
    let started = children(holder.id().context("it ended early")?)?;
    // The guardian, PostgreSQL and a function.
    ensure!(started.len() >= 3 && Path::new(&folder).exists(), "{started:?} {folder}");

    holder.kill().await?;
    for _ in 0..200 {
        if !Path::new(&folder).exists() && started.iter().all(|process| !process.is_there()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: Vec<_> = started.iter().filter(|process| process.is_there()).collect();
    anyhow::bail!("left over: {left:?}, folder {folder} {}", Path::new(&folder).exists())
}

/// A process, told from a later one with the same number by when it started.
#[derive(Debug)]
struct Process {
    pid: u32,
    started: String,
}

impl Process {
    fn is_there(&self) -> bool {
        stat(self.pid).is_some_and(|(_, state, started)| state != "Z" && started == self.started)
    }
}

fn children(parent: u32) -> Result<Vec<Process>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some((its_parent, _, started)) = stat(pid)
            && its_parent == parent
        {
            children.push(Process { pid, started });
        }
    }
    Ok(children)
}

/// Parent, state and start of a process. The name before them, in parentheses, may hold anything.
fn stat(pid: u32) -> Option<(u32, String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, (*fields.first()?).to_owned(), (*fields.get(19)?).to_owned()))
}
