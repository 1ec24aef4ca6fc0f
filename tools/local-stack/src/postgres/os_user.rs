//! The user that runs PostgreSQL, which does not run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct User {
    uid: u32,
    gid: u32,
}

/// Returns the user that runs PostgreSQL: `None` for the current user; for root, `postgres` or
/// `nobody`.
pub fn user() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let list = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| find(&list, name));
    found.map(Some).ok_or_else(|| {
        anyhow!("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
    })
}

fn find(list: &str, name: &str) -> Option<User> {
    let fields =
        list.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

impl User {
    /// Makes this user the owner of a folder.
    pub fn chown(self, folder: &Path) -> Result<()> {
        std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid)).with_context(|| {
            format!("changing the owner of {} to the user that runs PostgreSQL", folder.display())
        })
    }

    /// Runs a program as this user, without supplementary groups.
    pub fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_matches_the_whole_user_name() {
        let list = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:102:103:PostgreSQL:/var:/bin/sh\n";
        assert_eq!(find(list, "postgres"), Some(User { uid: 102, gid: 103 }));
        assert_eq!(find(list, "nobody"), None);
    }
}
