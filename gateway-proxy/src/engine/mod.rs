//! The engine: everything that moves bytes. This one stands on hyper's connection API, with one
//! single-threaded runtime for each core and nothing shared between cores on the way of a request.
//!
//! # The seam
//! Another engine can take this one's place without a change to the rest: it accepts, reads heads, asks
//! [`crate::decide::decide`], carries the decision out, and writes heads; `decide`, `balance`, `headers`,
//! `upstream`, `config` and `metrics` know no engine.
//!
//! ```text
//!            engine (hyper)                                    no engine in here
//!  accept ─► Conn ─► read head ── Head ──────────────────────► decide ─► Targets (balance)
//!             │        ▲  │                                      │
//!             │        │  └◄──── Respond(LocalReply) ◄───────────┤
//!             │        │                                         │
//!  Timers ────┤    write head ◄── headers::strip, edit ◄── Forward(Plan)
//!  (25 ms)    │        ▲                                         │
//!             │        │           checkout ◄── Upstream (idle connections by address)
//!             │   stream bodies ◄─► Lease ── connect             ▲
//!             │                       └───────── checkin ────────┘
//!             └─► Notes ──► metrics, access log
//! ```
//!
//! # Who runs
//! A client connection is one task, a backend connection another; hyper passes requests and body chunks
//! between them. An exchange is a future inside the client's task, so a client that goes away drops it, and
//! with it the lease on the backend's connection, which is cut unless both bodies came to their end.

mod body;
mod conn;
mod connect;
mod core;
mod exchange;
mod heads;
mod io;
mod linger;
mod local;
mod record;
mod target;
mod timers;

use std::future::Future as _;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

use self::conn::{Conn, Phase};
use self::core::Core;
use self::io::ClientIo;
use self::timers::{TICK_MS, Timers};
use crate::access_log::AccessLog;
use crate::config::Live;
use crate::metrics::CoreMetrics;

/// Headers that hyper takes without asking for memory.
const HYPER_MAX_HEADERS: usize = 100;
/// What hyper may hold of a body in each direction, in bytes. More makes large bodies no cheaper, and a slow
/// client dearer.
const BODY_BUFFER: usize = 128 * 1024;
/// A pause after an accept that failed, as where no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Limits towards clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A head, in bytes, at most.
    pub max_head_bytes: usize,
    /// Headers of a head, at most.
    pub max_headers: usize,
    /// A request's body, in bytes, at most; `None`: no limit.
    pub max_body_bytes: Option<u64>,
    /// Time that a connection may wait for its next request, in ms.
    pub client_idle_ms: u64,
    /// Time from the first byte of a head to its last, in ms.
    pub client_head_ms: u64,
    /// Time that open connections have to end when the gateway stops.
    pub drain_deadline: Duration,
}

/// What a core begins with.
#[derive(Debug)]
pub struct CoreSetup {
    /// Its number, from 0.
    pub index: usize,
    /// Its own socket.
    pub listener: StdListener,
    /// The configuration in force.
    pub config: Live,
    /// Limits towards clients.
    pub limits: Limits,
    /// What it counts.
    pub metrics: Arc<CoreMetrics>,
    /// The access log.
    pub log: AccessLog,
    /// Becomes true when the gateway stops.
    pub stop: watch::Receiver<bool>,
}

/// Runs a core on this thread until it is told to stop and its connections have ended.
///
/// # Errors
/// Where the runtime can't be built or the socket can't be used.
pub fn run_core(setup: CoreSetup) -> std::io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve(setup))
}

async fn serve(setup: CoreSetup) -> std::io::Result<()> {
    let CoreSetup { index, listener, config, limits, metrics, log, mut stop } = setup;
    let listener = TcpListener::from_std(listener)?;
    let builder = Rc::new(builder(&limits));
    let deadline = limits.drain_deadline;
    let core = Rc::new(Core::new(index, &config, limits, metrics, log));
    tokio::task::spawn_local(tick(Rc::clone(&core)));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => accept(&core, &builder, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    drop(listener);
    core.start_drain();
    let _ = tokio::time::timeout(deadline, core.all_closed()).await;
    Ok(())
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Deadlines are ours: see `timers`.
    builder.header_read_timeout(None).max_header_size(limits.max_head_bytes);
    builder.max_buf_size(BODY_BUFFER.max(limits.max_head_bytes));
    if limits.max_headers != HYPER_MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

async fn tick(core: Rc<Core>) {
    let mut every = tokio::time::interval(Timers::period());
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since_sweep = 0;
    loop {
        every.tick().await;
        since_sweep += TICK_MS;
        let sweep = since_sweep >= 1_000;
        if sweep {
            since_sweep = 0;
        }
        core.tick(sweep);
    }
}

fn accept(core: &Rc<Core>, builder: &Rc<http1::Builder>, stream: TcpStream, peer: SocketAddr) {
    if stream.set_nodelay(true).is_err() {
        // The client has gone already.
        return;
    }
    let conn = Rc::new(Conn::new(Rc::clone(core), peer));
    // One task for each connection, all of them ended by the runtime's end; the drain waits for their count.
    tokio::task::spawn_local(connection(conn, Rc::clone(builder), stream));
}

async fn connection(conn: Rc<Conn>, builder: Rc<http1::Builder>, stream: TcpStream) {
    let service = {
        let conn = Rc::clone(&conn);
        service_fn(move |request| exchange::answer(Rc::clone(&conn), request))
    };
    let io = ClientIo::new(stream, Rc::clone(&conn));
    let mut http = pin!(builder.serve_connection(io, service));
    let (mut known, mut drained) = (false, false);
    std::future::poll_fn(|cx| {
        if !known {
            known = true;
            conn.set_waker(cx.waker());
        }
        if conn.core.is_draining() && !drained {
            drained = true;
            http.as_mut().graceful_shutdown();
        }
        // An exchange that waits for its response looks at the deadline by itself, and answers.
        if conn.expired() && conn.phase() != Phase::Exchange {
            conn.cut();
            return std::task::Poll::Ready(());
        }
        let ended = http.as_mut().poll(cx).map(|_| ());
        conn.keep_early();
        if ended.is_pending() && conn.expired() {
            // hyper did not ask it: the answer before it is still on its way out.
            conn.cut();
            return std::task::Poll::Ready(());
        }
        ended
    })
    .await;
}
