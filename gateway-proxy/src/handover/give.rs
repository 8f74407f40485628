//! The running gateway's side.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hotswap_runtime::CancellationToken;
use rustix::process::geteuid;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

use super::sockets::Sockets;
use super::{Error, Message, Offer, Offered, PROMPT, PROTOCOL, STARTING, place, wire};
use crate::config::Live;
use crate::state::StateHandle;

/// A pause after an accept that failed, as where no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// Hands over to whoever asks and may.
pub(crate) struct Giver {
    listener: UnixListener,
    has: Holdings,
    /// Of the one that takes over.
    turn: Mutex<()>,
}

/// It has been handed over.
pub(crate) struct Given {
    stream: UnixStream,
    /// Where the other one does not listen.
    pub(crate) closed: Arc<[SocketAddr]>,
}

/// What a gateway has to hand over.
pub(crate) struct Holdings {
    /// The listeners of the cores.
    pub(crate) sockets: Sockets,
    /// The admin page's.
    pub(crate) admin: TcpListener,
    /// The lock of the data folder.
    pub(crate) lock: File,
    /// What writes to that folder.
    pub(crate) disk: StateHandle,
    /// The configuration in force.
    pub(crate) config: Live,
    /// Of this gateway.
    pub(crate) generation: u64,
    /// Why it hands nothing over; `None`: it does.
    pub(crate) refuses: Option<&'static str>,
}

impl Giver {
    /// Listens in the data folder, at the socket that was inherited or at a new one.
    ///
    /// # Errors
    /// Where there can be no socket.
    pub(crate) fn new(
        dir: &Path,
        inherited: Option<std::os::unix::net::UnixListener>,
        has: Holdings,
    ) -> io::Result<Self> {
        let listener = match inherited {
            None => place::listen(dir)?,
            Some(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener)?
            }
        };
        Ok(Self { listener, has, turn: Mutex::new(()) })
    }

    /// Waits for one that takes over; `None`: this gateway stops before. The sockets that it holds are closed then, so that
    /// they end with their cores.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Option<Given> {
        let mut talks = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if !shutdown.is_cancelled() => match accepted {
                    Ok((stream, _)) => talks.push(self.talk(stream, &shutdown)),
                    Err(error) => {
                        tracing::warn!(%error, "cannot hear who would take over");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(given) = talks.next() => if given.is_some() {
                    return given;
                },
                () = shutdown.cancelled(), if talks.is_empty() => return None,
            }
        }
    }

    /// With one that asks.
    async fn talk(&self, mut stream: UnixStream, shutdown: &CancellationToken) -> Option<Given> {
        let offered = AtomicBool::new(false);
        let ended = tokio::select! {
            biased;
            ended = self.converse(&mut stream, &offered) => ended,
            () = shutdown.cancelled() => {
                if offered.load(Ordering::Relaxed) {
                    // Who has everything goes on alone when this end is silent for good: one of both must serve.
                    tracing::warn!("this gateway stops while another takes over; that one goes on alone");
                    return None;
                }
                Err(Error::Refused("it is stopping".to_owned()))
            }
        };
        match ended {
            Ok(closed) => Some(Given { stream, closed: closed.into() }),
            Err(error) => {
                tracing::warn!(%error, "not handed over; this gateway goes on");
                let why = error.to_string();
                // One that has gone needs no answer.
                let _ = tokio::time::timeout(PROMPT, wire::say(&mut stream, &Message::Refused { why })).await;
                None
            }
        }
    }

    /// To the moment from which the other one serves; where it does not listen.
    async fn converse(
        &self,
        stream: &mut UnixStream,
        offered: &AtomicBool,
    ) -> Result<Vec<SocketAddr>, Error> {
        let refused = |why: &str| Error::Refused(why.to_owned());
        let peer = stream.peer_cred()?;
        if peer.uid() != geteuid().as_raw() {
            return Err(refused("it is run by another user"));
        }
        let Message::Ask { protocol, version } = wire::hear(stream, PROMPT).await? else {
            return Err(Error::Unexpected);
        };
        if protocol != PROTOCOL {
            return Err(Error::Refused(format!(
                "it is version {} and knows protocol {PROTOCOL}, not the {protocol} of version {version}; stop it, and start \
                 the other one",
                env!("CARGO_PKG_VERSION")
            )));
        }
        if let Some(why) = self.has.refuses {
            return Err(refused(why));
        }
        let _turn = self.turn.try_lock().map_err(|_| refused("another process is taking over already"))?;
        let hold = tokio::time::timeout(PROMPT, self.has.disk.hold()).await;
        let hold = hold
            .ok()
            .flatten()
            .ok_or_else(|| refused("its configuration is not safe on disk; see its log"))?;
        tracing::info!(pid = peer.pid(), version, "another gateway is about to take over");
        self.offer(stream, hold.revision()).await?;
        offered.store(true, Ordering::Relaxed);
        let Message::Ready { closed } = wire::hear(stream, STARTING).await? else {
            return Err(Error::Unexpected);
        };
        wire::say(stream, &Message::Yours).await?;
        let Message::Started = wire::hear(stream, PROMPT).await? else { return Err(Error::Unexpected) };
        hold.for_good();
        Ok(closed)
    }

    async fn offer(&self, stream: &mut UnixStream, on_disk: i64) -> Result<(), Error> {
        let mut all = self.has.sockets.offered()?;
        all.push((Offered::Admin(self.has.admin.local_addr()?), self.has.admin.as_fd()));
        all.push((Offered::Channel, self.listener.as_fd()));
        all.push((Offered::Lock, self.has.lock.as_fd()));
        let (sockets, fds): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let offer = Offer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.has.generation,
            // Where the disk stands: it may have moved on from where the configuration came without a change to it.
            revision: self.has.config.now().revision().map(|_| on_disk),
            sockets,
        };
        wire::say(stream, &Message::Offer(offer)).await?;
        wire::give(stream, &fds).await
    }
}

impl Given {
    /// Tells the other one that nobody is accepted here any more.
    pub(crate) async fn gone(&mut self) {
        // Where it has ended meanwhile, its supervisor sees to it: this gateway can't come back.
        let _ = wire::say(&mut self.stream, &Message::Gone).await;
    }

    /// Waits until the other one has opened its watch, as long as it may take.
    pub(crate) async fn watched(mut self, within: Duration) {
        let _ = tokio::time::timeout(within, self.stream.read_u8()).await;
    }
}
