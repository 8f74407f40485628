//! The engine: everything that moves bytes, with one single-threaded runtime for each core and nothing shared
//! between cores on the way of a request. There are two: [`own`], and [`on_hyper`], which stands on hyper's
//! connection API and is the oracle that the other is tested against.
//!
//! # The seam
//! Another engine can take this one's place without a change to the rest: it accepts, reads heads, asks
//! [`crate::decide::decide`], carries the decision out, and writes heads; `decide`, `balance`, `headers`,
//! `upstream`, `config` and `metrics` know no engine.
//!
//! ```text
//!            engine                                            no engine in here
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

pub(crate) mod dial;
mod entry;
mod limits;
mod linger;
mod on_hyper;
pub(crate) mod once;
mod order;
mod own;
mod retry;
mod room;
mod serve;
mod shadow;
mod shared;
mod timers;

use std::str::FromStr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hotswap_cache::Buckets;
use hotswap_telemetry::trace::RequestTraces;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

pub use entry::{Entry, EntryKind, WayIn};
pub use order::Order;
pub(crate) use room::{Room, by_files};

use crate::access_log::AccessLog;
use crate::balance::client::TrustedProxies;
use crate::config::Live;
use crate::metrics::CoreMetrics;
use crate::tls::BackendFiles;
use crate::traffic::Mark;

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
    /// Connections of clients open at once, at most, over all cores; `None`: no limit.
    pub max_connections: Option<u64>,
    /// Time that open connections have to end when the gateway stops.
    pub drain_deadline: Duration,
    /// Time that they have where another gateway has taken over from this one.
    pub hand_over_drain: Duration,
    /// Of HTTP/2.
    pub http2: Http2Limits,
}

/// Limits of one client's connection of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Streams open at once, at most.
    pub streams: u32,
    /// Bytes of one request's body that a client may send ahead.
    pub stream_window: u32,
    /// Bytes of all of them.
    pub connection_window: u32,
    /// Streams that a client may reset, each second.
    pub resets: u32,
}

/// Which engine runs the cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// The gateway's own.
    #[default]
    Own,
    /// The one on hyper.
    Hyper,
}

impl EngineKind {
    /// Its name in the options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::Own => "own",
        }
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hyper" => Ok(Self::Hyper),
            "own" => Ok(Self::Own),
            other => Err(format!("unknown engine \"{other}\"; use own or hyper")),
        }
    }
}

/// What a core begins with.
#[derive(Debug)]
pub struct CoreSetup {
    /// Its number, from 0.
    pub index: usize,
    /// The engine.
    pub engine: EngineKind,
    /// Where clients come in.
    pub entries: Vec<Entry>,
    /// The configuration in force.
    pub config: Live,
    /// Limits towards clients.
    pub limits: Limits,
    /// TLS to backends.
    pub backend_tls: BackendFiles,
    /// Whose word on the client's address counts.
    pub trusted: Arc<TrustedProxies>,
    /// What the gateway's copies tell of it.
    pub mark: Mark,
    /// Places for clients, which all cores share.
    pub(crate) room: Arc<Room>,
    /// What it counts.
    pub metrics: Arc<CoreMetrics>,
    /// The access log.
    pub log: AccessLog,
    /// The buckets of the fleet's rate limits; `None`: there are none.
    pub fleet: Option<Buckets>,
    /// Decides which requests are recorded; `None`: none is.
    pub traces: Option<RequestTraces>,
    /// What the core is to do.
    pub order: watch::Receiver<Order>,
    /// Told once when the core could begin to serve.
    pub up: mpsc::Sender<()>,
}

/// Runs a core on this thread until it is told to stop and its connections have ended.
///
/// # Errors
/// Where the runtime can't be built or the socket can't be used.
pub fn run_core(setup: CoreSetup) -> std::io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    match setup.engine {
        EngineKind::Hyper => runtime.block_on(serve::serve(setup, on_hyper::Core::new)),
        EngineKind::Own => runtime.block_on(serve::serve(setup, own::Core::new)),
    }
}
