//! Listening sockets. They are bound before anything else starts, so that a taken port is an error at once.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::StartError;

/// Connections that may wait to be accepted at one socket.
pub const BACKLOG: i32 = 4_096;

/// Binds one listener. Port 0 takes a free one; `local_addr` says which.
///
/// # Errors
/// [`StartError::Listen`], with `what` it was for and the `flag` that sets the address.
pub fn bind(address: SocketAddr, what: &'static str, flag: &'static str) -> Result<TcpListener, StartError> {
    let bound = socket(address, false).and_then(|s| {
        s.listen(BACKLOG)?;
        TcpListener::from_std(s.into())
    });
    bound.map_err(|source| StartError::Listen { address, what, flag, source })
}

/// Binds `count` listeners to one address, so that each core accepts from its own (`SO_REUSEPORT`).
///
/// The kernel would let another process of the same user join the port. So an exclusive socket is bound
/// first, which fails where anybody listens; it is closed just before the shared ones are bound, and a
/// process that takes the port in that moment with `SO_REUSEPORT` too goes unnoticed.
///
/// # Errors
/// [`StartError::Listen`], as for [`bind`].
pub fn bind_shared(
    address: SocketAddr,
    count: usize,
    what: &'static str,
    flag: &'static str,
) -> Result<Vec<StdListener>, StartError> {
    let bind_all = || -> io::Result<Vec<StdListener>> {
        let probe = socket(address, false)?;
        probe.listen(1)?;
        let actual = probe.local_addr()?.as_socket().unwrap_or(address);
        drop(probe);
        let sockets = (0..count.max(1)).map(|_| {
            let s = socket(actual, true)?;
            s.listen(BACKLOG)?;
            Ok(s.into())
        });
        sockets.collect()
    };
    bind_all().map_err(|source| StartError::Listen { address, what, flag, source })
}

/// Binds `count` more to the address of listeners that were made by [`bind_shared`], in this process or another of the
/// same user. They do not listen yet: whoever connects goes on to the others.
///
/// # Errors
/// [`StartError::Listen`], as for [`bind`].
pub fn bind_beside(
    address: SocketAddr,
    count: usize,
    what: &'static str,
    flag: &'static str,
) -> Result<Vec<StdListener>, StartError> {
    let sockets = (0..count).map(|_| socket(address, true).map(StdListener::from));
    let bound: io::Result<_> = sockets.collect();
    bound.map_err(|source| StartError::Listen { address, what, flag, source })
}

fn socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a restart take a port whose old connections linger; on Linux it does not share a live listener.
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_taken_port_is_one_clear_line() {
        let first = bind(ANY, "control plane", "--listen").expect("free");
        let taken = first.local_addr().expect("addr");
        for error in [
            bind(taken, "control plane", "--listen").expect_err("taken"),
            bind_shared(taken, 2, "control plane", "--listen").expect_err("taken"),
        ] {
            let want = format!("cannot listen on {taken} (control plane, --listen): the address is in use");
            assert_eq!(error.to_string(), want);
        }
    }

    #[tokio::test]
    async fn shared_listeners_have_one_port_and_keep_others_out() {
        let shared = bind_shared(ANY, 3, "gateway", "--gateway-listen").expect("free");
        let address = shared[0].local_addr().expect("addr");
        assert!(shared.iter().all(|l| l.local_addr().expect("addr") == address));
        assert!(bind(address, "x", "--x").is_err());
        assert!(bind_shared(address, 1, "x", "--x").is_err(), "a second gateway must not join silently");
    }
}
