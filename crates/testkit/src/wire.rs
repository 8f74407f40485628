//! A network between a client and a server, with its faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hotswap_runtime::{CancellationToken, Supervisor, TaskKind};
use tokio::io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// Where a wire leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// A port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Target {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

/// A relay on a port of loopback, between clients and one server. It works on a thread and a clock of its own: a
/// test may block, or stop tokio's time, and the network goes on.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    conditions: watch::Sender<Conditions>,
    counts: Arc<Counts>,
    end: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Conditions {
    target: Target,
    delay: Duration,
    flow: Flow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    Frozen,
    Cut,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    made: AtomicU64,
    bytes: AtomicU64,
}

impl Wire {
    /// A wire that leads to a server, in good order.
    ///
    /// # Panics
    /// Where there is no free port.
    pub fn to(target: impl Into<Target>) -> Self {
        let target = target.into();
        let (conditions, watched) =
            watch::channel(Conditions { target, delay: Duration::ZERO, flow: Flow::Open });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        let address = listener.local_addr().expect("address");
        let (counts, end) = (Arc::new(Counts::default()), CancellationToken::new());
        let relay = Relay { watched, counts: Arc::clone(&counts), end: end.clone() };
        let thread = thread::Builder::new().name("wire".into()).spawn(move || relay.run(listener));
        Self { address, conditions, counts, end, thread: Some(thread.expect("starts")) }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts it: every connection is reset, with what is on its way, and so is each new one. It returns when the
    /// last is gone.
    pub fn cut(&self) {
        self.conditions.send_modify(|now| now.flow = Flow::Cut);
        while self.connections() > 0 {
            thread::yield_now();
        }
    }

    /// Freezes it: connections stay, new ones are accepted, and nothing arrives until it is restored. What is on
    /// its way at this moment may still arrive.
    pub fn freeze(&self) {
        self.conditions.send_modify(|now| now.flow = Flow::Frozen);
    }

    /// Holds back each piece of data for so long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.conditions.send_modify(|now| now.delay = delay);
    }

    /// Puts it in good order: no delay, and what was held back arrives.
    pub fn restore(&self) {
        self.conditions.send_modify(|now| (now.delay, now.flow) = (Duration::ZERO, Flow::Open));
    }

    /// Leads connections that are made from now on to another server. Those that are there keep theirs.
    pub fn lead_to(&self, target: impl Into<Target>) {
        let target = target.into();
        self.conditions.send_modify(|now| now.target = target);
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many connections were made since the start.
    pub fn connections_made(&self) -> u64 {
        self.counts.made.load(Ordering::SeqCst)
    }

    /// How many bytes arrived since the start, in both directions.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's part of a wire.
#[derive(Clone)]
struct Relay {
    watched: watch::Receiver<Conditions>,
    counts: Arc<Counts>,
    end: CancellationToken,
}

impl Relay {
    fn run(self, listener: std::net::TcpListener) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        // Whatever is left when this returns ends with the runtime.
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("sets");
            let listener = TcpListener::from_std(listener).expect("listens");
            let tasks = Supervisor::new();
            loop {
                let client = tokio::select! {
                    accepted = listener.accept() => accepted.expect("accepts").0,
                    () = self.end.cancelled() => return,
                };
                self.counts.made.fetch_add(1, Ordering::SeqCst);
                let open = Open::of(&self.counts);
                let relay = self.clone();
                tasks.spawn("wire", TaskKind::Connection, async move {
                    relay.connection(client).await;
                    drop(open);
                });
            }
        });
    }

    /// Relays one connection until it ends or is cut.
    async fn connection(&self, mut client: TcpStream) {
        client.set_nodelay(true).expect("sets");
        let (mut cut, mut open) = (self.watched.clone(), self.watched.clone());
        let relayed = async {
            let target = open.wait_for(|now| now.flow == Flow::Open).await.ok()?.target.clone();
            match target {
                Target::Tcp(address) => {
                    let mut server = TcpStream::connect(address).await.ok()?;
                    server.set_nodelay(true).ok()?;
                    let (from, to) = server.split();
                    self.both_ways(&mut client, from, to).await
                }
                Target::Unix(path) => {
                    let mut server = UnixStream::connect(path).await.ok()?;
                    let (from, to) = server.split();
                    self.both_ways(&mut client, from, to).await
                }
            }
        };
        let was_cut = tokio::select! {
            _ = relayed => false,
            _ = cut.wait_for(|now| now.flow == Flow::Cut) => true,
        };
        if was_cut {
            // It ends by a reset, which does not wait for what is on its way.
            client.set_zero_linger().expect("sets");
        }
    }

    async fn both_ways(
        &self,
        client: &mut TcpStream,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> Option<()> {
        let (client_from, client_to) = client.split();
        let ended = tokio::try_join!(self.one_way(client_from, to), self.one_way(from, client_to));
        ended.ok().map(|_| ())
    }

    async fn one_way(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut watched = self.watched.clone();
        let mut piece = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut piece).await?;
            let delay = watched.borrow().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            watched.wait_for(|now| now.flow == Flow::Open).await.map_err(io::Error::other)?;
            if length == 0 {
                return to.shutdown().await;
            }
            to.write_all(&piece[..length]).await?;
            self.counts.bytes.fetch_add(length as u64, Ordering::SeqCst);
        }
    }
}

/// Counts an open connection while it lives.
struct Open(Arc<Counts>);

impl Open {
    fn of(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
