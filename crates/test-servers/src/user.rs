//! As whom a server runs.

use std::fs;

use rustix::process::geteuid;

use crate::Unavailable;

/// A user without rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Whom a server that refuses root is to run as: nobody else where we are not root.
///
/// # Errors
/// Where the machine has no user for it.
pub(crate) fn unprivileged() -> Result<Option<User>, Unavailable> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|e| Unavailable::failed("/etc/passwd", e))?;
    let found = ["postgres", "nobody"].iter().find_map(|name| entry(&users, name));
    found.map(Some).ok_or_else(|| Unavailable::Failed("there is no user postgres or nobody".into()))
}

/// A user among the lines of `/etc/passwd`: `name:password:uid:gid:…`.
fn entry(users: &str, name: &str) -> Option<User> {
    let mut fields = users.lines().map(|l| l.split(':')).find(|f| f.clone().next() == Some(name))?.skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\npost:x:1:2::/:/bin/sh\npostgres:x:101:104:,,,:/v:/bin/sh\n";
        assert_eq!(entry(users, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(entry(users, "nobody"), None);
    }
}
