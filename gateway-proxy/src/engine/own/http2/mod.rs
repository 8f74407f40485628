//! HTTP/2 towards clients, on the h2 crate.
//!
//! A connection is one task, which reads and writes the socket. Each of its streams is a task of its own, in the core's
//! [`Executor`](super::executor::Executor), which drives the same [`Client`](super::client::Client) as a connection of
//! HTTP/1.1 does; only its [`Front`](super::front::Front) is another. So whatever a route can do, it does for both.
//!
//! ```text
//!   socket ─► Wire ─► Frames (counted) ─► h2 ─► heads ─► Client<Stream> ─► Client<Stream> …
//!               ▲                                            │ queue frames
//!               └──── once a turn ◄──── h2 ◄─────────────────┘
//! ```
//!
//! | file | part |
//! |---|---|
//! | `connection` | the connection: its streams, its deadlines, its end |
//! | `wire` | the socket; what a turn writes goes out at once |
//! | `frames` | how much of what brings nothing a client may send |
//! | `heads` | heads, from h2 and to it |
//! | `question` | whether the other side is still there |
//! | `stream` | a stream as the client's side of an exchange |

mod connection;
mod frames;
pub(super) mod heads;
pub(super) mod question;
mod stream;
pub(super) mod wire;

pub(super) use self::connection::serve;
pub(super) use self::stream::Stream;

/// What a connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether `bytes` may be the beginning of a connection of HTTP/2.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let len = bytes.len().min(PREFACE.len());
    bytes.get(..len) == PREFACE.get(..len)
}

/// Whether they are.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}
