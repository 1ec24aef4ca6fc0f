//! Cleanup after a killed process: its child processes and folders do not outlive it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{get, start_with_echo};
use crate::support::skip::skip;

/// Started by `killed_process_leaves_no_child_and_no_folder`, which kills it.
#[tokio::test]
#[ignore = "does not end by itself"]
async fn hold_stack_until_killed() -> Result<()> {
    let stack = start_with_echo(LocalStack::builder()).await?;
    get(&stack.function_url("get-session")).await?;
    println!("{}", stack.psql());
    std::future::pending().await
}

#[tokio::test]
async fn killed_process_leaves_no_child_and_no_folder() -> Result<()> {
    if !Path::new("/proc/self/stat").exists() {
        return skip("this system has no /proc, which lists the processes");
    }
    let mut holder = Command::new(std::env::current_exe()?)
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "test_env::local_stack::process_cleanup::hold_stack_until_killed",
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the test executable")?;
    let stdout = holder.stdout.take().context("the process has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    // The test harness of the process prints lines of its own before.
    let folder = loop {
        let line = lines.next_line().await?.context("the process printed no psql command")?;
        if let Some((_, arguments)) = line.split_once("psql --host ") {
            break arguments.split(' ').next().unwrap_or_default().to_owned();
        }
    };
    let started = children(holder.id().context("the process has ended")?)?;
    // The process reaper, PostgreSQL and a function.
    ensure!(started.len() >= 3, "expected at least three child processes, found {started:?}");
    ensure!(Path::new(&folder).exists(), "the folder {folder} does not exist");

    holder.kill().await?;
    for _ in 0..200 {
        if !Path::new(&folder).exists() && started.iter().all(|process| !process.exists()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: Vec<_> = started.iter().filter(|process| process.exists()).collect();
    anyhow::bail!("left processes: {left:?}; the folder {folder} exists: {}", Path::new(&folder).exists())
}

/// A process. Its start time distinguishes it from a later process with the same id.
#[derive(Debug)]
struct Process {
    pid: u32,
    started: String,
}

impl Process {
    fn exists(&self) -> bool {
        stat(self.pid).is_some_and(|(_, state, started)| state != "Z" && started == self.started)
    }
}

fn children(parent: u32) -> Result<Vec<Process>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some((ppid, _, started)) = stat(pid)
            && ppid == parent
        {
            children.push(Process { pid, started });
        }
    }
    Ok(children)
}

/// Parent, state and start time of a process. The name before them, in parentheses, may contain
/// spaces and parentheses.
fn stat(pid: u32) -> Option<(u32, String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, (*fields.first()?).to_owned(), (*fields.get(19)?).to_owned()))
}
