//! The sockets: those that a gateway listens at and could hand over, and those that it got from another.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use hotswap_runtime::{StartError, listen};

use super::{Error, Offered};

/// The sockets that this gateway listens at, once more: they are open as long as this is.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) plain: Vec<TcpListener>,
    pub(crate) tls: Vec<TcpListener>,
}

impl Sockets {
    /// What they are, and the sockets themselves.
    pub(super) fn offered(&self) -> io::Result<Vec<(Offered, BorrowedFd<'_>)>> {
        let plain = self.plain.iter().map(|l| Ok((Offered::Plain(l.local_addr()?), l.as_fd())));
        let tls = self.tls.iter().map(|l| Ok((Offered::Tls(l.local_addr()?), l.as_fd())));
        plain.chain(tls).collect()
    }
}

/// What another gateway has handed over.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// With what they were to that one.
    listeners: Vec<(Offered, SocketAddr, TcpListener)>,
    /// The socket that the next one asks at.
    pub(crate) channel: Option<UnixListener>,
    /// The lock of the data folder.
    pub(crate) lock: Option<File>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Traffic without TLS.
    Plain,
    /// Traffic with TLS.
    Tls,
    /// The admin page.
    Admin,
}

impl Inherited {
    pub(super) fn new(what: &[Offered], fds: Vec<OwnedFd>) -> Result<Self, Error> {
        let mut all = Self::default();
        for (what, fd) in what.iter().zip(fds) {
            match *what {
                Offered::Plain(at) | Offered::Tls(at) | Offered::Admin(at) => {
                    let listener = TcpListener::from(fd);
                    if listener.local_addr()? != at {
                        return Err(Error::Unexpected);
                    }
                    // A core must never wait for one.
                    listener.set_nonblocking(true)?;
                    all.listeners.push((*what, at, listener));
                }
                Offered::Channel => all.channel = Some(fd.into()),
                Offered::Lock => all.lock = Some(fd.into()),
            }
        }
        Ok(all)
    }

    /// The listeners at this address. Traffic may come with TLS now where it came without, and the other way round. Port 0
    /// is any that served the same purpose.
    pub(crate) fn take(&mut self, address: SocketAddr, purpose: Purpose) -> Vec<TcpListener> {
        let fits = |what: Offered, at: SocketAddr| {
            let same = match what {
                Offered::Plain(_) => purpose == Purpose::Plain,
                Offered::Tls(_) => purpose == Purpose::Tls,
                Offered::Admin(_) => purpose == Purpose::Admin,
                Offered::Channel | Offered::Lock => false,
            };
            let both_traffic = matches!(what, Offered::Admin(_)) == (purpose == Purpose::Admin);
            if address.port() == 0 { same && at.ip() == address.ip() } else { both_traffic && at == address }
        };
        let taken = self.listeners.extract_if(.., |(what, at, _)| fits(*what, *at));
        taken.map(|(_, _, listener)| listener).collect()
    }

    /// The listener of the admin page: the one that was handed over, or a new one.
    ///
    /// # Errors
    /// Where the address is taken.
    pub(crate) fn page(&mut self, address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
        let (what, flag) = ("gateway admin page", "--gateway-admin-listen");
        let Some(had) = self.take(address, Purpose::Admin).pop() else {
            return listen::bind(address, what, flag);
        };
        tokio::net::TcpListener::from_std(had).map_err(|source| StartError::Listen {
            address,
            what,
            flag,
            source,
        })
    }

    /// Lets go of what nobody has taken; its addresses.
    pub(super) fn close(&mut self) -> Vec<SocketAddr> {
        let mut left: Vec<_> = self.listeners.drain(..).map(|(_, at, _)| at).collect();
        left.sort_unstable();
        left.dedup();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (SocketAddr, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        (listener.local_addr().expect("addr"), listener.into())
    }

    #[test]
    fn listeners_are_found_by_address_or_by_what_they_were_and_the_rest_is_told() {
        let (plain, one) = listener();
        let (tls, two) = listener();
        let (admin, three) = listener();
        let (other, four) = listener();
        let what = [Offered::Plain(plain), Offered::Tls(tls), Offered::Admin(admin), Offered::Plain(other)];
        let mut all = Inherited::new(&what, vec![one, two, three, four]).expect("sound");
        let any = SocketAddr::new(plain.ip(), 0);
        let at =
            |taken: Vec<TcpListener>| taken.iter().map(|l| l.local_addr().expect("addr")).collect::<Vec<_>>();
        assert_eq!(at(all.take(admin, Purpose::Plain)), [], "it is no socket of a core");
        assert_eq!(at(all.take(plain, Purpose::Tls)), [plain], "what it was for does not matter");
        assert_eq!(at(all.take(any, Purpose::Tls)), [tls]);
        assert_eq!(at(all.take(any, Purpose::Tls)), []);
        assert_eq!(at(all.take(any, Purpose::Admin)), [admin]);
        assert_eq!(all.close(), [other]);
        let (_, five) = listener();
        assert!(Inherited::new(&[Offered::Plain(plain)], vec![five]).is_err(), "not what was said");
    }
}
