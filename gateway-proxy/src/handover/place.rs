//! Where two gateways meet: a socket in the data folder, which only its owner connects to.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the folder.
const NAME: &str = "take-over.sock";
/// The longest path that fits into an address, in bytes.
const LONGEST: usize = 107;

/// Listens. The folder must be locked: what is there can only be a dead one's.
pub(super) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(dir.join(NAME));
    let listener = at(dir, |path| {
        let listener = StdListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(listener)
    })?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Connects to the gateway that listens there.
pub(super) fn connect(dir: &Path) -> io::Result<UnixStream> {
    let stream = at(dir, |path| std::os::unix::net::UnixStream::connect(path))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Uses the path of the socket. One that is too long for an address is taken from the folder on.
fn at<T>(dir: &Path, run: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(NAME);
    if path.as_os_str().len() <= LONGEST {
        return run(&path);
    }
    let dir = File::open(dir)?;
    run(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_any_folder_will_do() {
        for name in ["short", &"long".repeat(50)] {
            let dir = tempfile::tempdir().expect("dir");
            let dir = dir.path().join(name);
            std::fs::create_dir(&dir).expect("folder");
            // A dead one's is in the way of nobody.
            std::fs::write(dir.join(NAME), b"").expect("a file");
            let listener = listen(&dir).expect("listens");
            let mode = std::fs::metadata(dir.join(NAME)).expect("is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let _stream = connect(&dir).expect("connects");
            listener.accept().await.expect("accepts");
        }
    }
}
