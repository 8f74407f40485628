//! One gateway takes over from another: the sockets that clients connect to pass from process to process, so that nobody
//! who connects is turned away, and nobody who is connected is cut.
//!
//! ```text
//!   the running gateway (Giver)                 the new one (Takeover), started with --take-over
//!                    ◄───────────────── Ask     it is the same user's, and speaks the same protocol
//!   writes nothing to disk, and takes no change, from here on
//!   Offer, sockets, lock of the folder ───────► reads the disk, compiles, starts its cores; they accept nobody yet
//!                    ◄───────────────── Ready
//!   Yours            ─────────────────────────► accepts, at the same sockets
//!                    ◄───────────────── Started
//!   accepts nobody any more; Gone ────────────► writes to disk, opens its watch
//!   drains; ends its watch at the end of this connection, which comes when the new one's is open
//! ```
//!
//! Until Started the running gateway goes on as if nothing had been, whatever becomes of the other; changes that came
//! meanwhile, and were not acknowledged, are taken then. From the Offer on the
//! new one can do without the running one: where that dies, it goes on as after Gone. What ends the conversation on
//! purpose is always said, by Refused; its end without that is a death.
//!
//! A listening socket is one and the same in both processes. It is closed when both have closed it, so whoever waits at it
//! is accepted by the one or by the other.

mod ends;
mod give;
mod place;
mod sockets;
mod take;
mod wire;

pub(crate) use ends::{Ends, until_end};
pub(crate) use give::{Given, Giver, Holdings};
pub(crate) use sockets::{Inherited, Purpose, Sockets};
pub(crate) use take::Takeover;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The version of what is said here. A gateway that speaks another is refused.
const PROTOCOL: u32 = 1;

/// Time for what takes no time.
const PROMPT: Duration = Duration::from_secs(10);
/// How long the running gateway keeps its watch while the new one opens its own.
pub(crate) const WATCHING: Duration = Duration::from_secs(5);
/// Time for the new gateway to read and compile its configuration.
const STARTING: Duration = Duration::from_secs(60);

/// What is said. A later version may add to it; Ask with its protocol, and Refused, stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// May I take over?
    Ask {
        protocol: u32,
        #[serde(default)]
        version: String,
    },
    /// No, or no more.
    Refused { why: String },
    /// Yes; the sockets follow.
    Offer(Offer),
    /// I could begin to serve. At these addresses I will not.
    Ready { closed: Vec<SocketAddr> },
    /// Then do.
    Yours,
    /// I do.
    Started,
    /// I do no more.
    Gone,
}

/// What the running gateway has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Offer {
    version: String,
    /// Its generation: 1 for one that took over from nobody.
    generation: u64,
    /// The revision in force; `None`: it has no configuration.
    revision: Option<i64>,
    /// What each of the sockets is, in their order.
    sockets: Vec<Offered>,
}

/// A socket, or what else is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Offered {
    /// A listener of a core.
    Plain(SocketAddr),
    /// A listener of a core, with TLS.
    Tls(SocketAddr),
    /// The admin page's.
    Admin(SocketAddr),
    /// The one that the next gateway asks at.
    Channel,
    /// The lock of the data folder.
    Lock,
}

/// Why nothing is handed over.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the other gateway ended")]
    Ended,
    #[error("the other gateway does not answer")]
    Silent,
    #[error("{0}")]
    Refused(String),
    #[error("the other gateway said what does not belong here")]
    Unexpected,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
