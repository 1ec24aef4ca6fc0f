//! PostgreSQL refuses to run as root; it is started as somebody who may do nothing else.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

/// A user of this machine, by number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct User {
    uid: u32,
    gid: u32,
}

/// Who runs PostgreSQL: ourselves (`None`), or where we are root, `postgres` or `nobody`.
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
    /// Gives a folder to this user.
    pub fn own(self, folder: &Path) -> Result<()> {
        std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))
            .with_context(|| format!("giving {} to the user that runs PostgreSQL", folder.display()))
    }

    /// Runs a program as this user, in no other group.
    pub fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let list = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:102:103:PostgreSQL:/var:/bin/sh\n";
        assert_eq!(find(list, "postgres"), Some(User { uid: 102, gid: 103 }));
        assert_eq!(find(list, "nobody"), None);
    }
}
