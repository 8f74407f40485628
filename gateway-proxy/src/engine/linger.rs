//! Closing a connection whose client may still be sending. To close a socket with unread bytes in it resets
//! the connection, and the client may lose the answer that it had not read yet. So our side is closed first,
//! and what still comes is read and thrown away, for a while.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::serve::Engine;

/// How long at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many bytes at most.
const MOST: usize = 4 * 1024 * 1024;

pub(super) fn close<E: Engine>(mut stream: TcpStream, core: &Rc<E>) {
    let core = Rc::clone(core);
    // It is open for so long.
    let place = core.shared().room.take();
    let patient = async move {
        let _place = place;
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut thrown = 0;
        while thrown < MOST && stream.readable().await.is_ok() {
            let mut scratch = core.shared().scratch.borrow_mut();
            scratch.resize(16 * 1024, 0);
            match stream.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(n) => thrown += n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Part of the connection, which is counted no more: at a drain nobody waits for it.
    tokio::task::spawn_local(tokio::time::timeout(PATIENCE, patient));
}
