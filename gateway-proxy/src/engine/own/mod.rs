//! The gateway's own HTTP/1.1 engine.
//!
//! # One task for each client
//! The task of a client's connection moves everything of its exchange: it reads the head, writes it to a
//! connection of the backend that it holds itself, and lets both bodies pass at the same time. No other task and
//! no channel is between the two sockets. What a turn reads goes through one buffer of the core and is written
//! on before the turn ends; only what a socket did not take is copied, into a buffer lent for that time. A head
//! that has come whole is read where it lies. In steady state nothing is allocated.
//!
//! ```text
//!             poll_head                poll_connect            poll_exchange               poll_flush
//!  Head ─────────────────► (decide) ──────────────► Exchange ───────────────► Flush ────────────────► Head, End
//!                │            │  a connection is open ▲ │ ▲                    ▲
//!                │            └───────────────────────┘ │ └ once more          │
//!                └──► refused ──────────────────────────┴──► own answer ───────┘
//! ```
//!
//! | file | part |
//! |---|---|
//! | `client` | the connection as a state machine |
//! | `begin` | from the bytes of a head to an exchange |
//! | `exchange` | the two directions together: who goes on, what ends it, what is tried again |
//! | `retry` | tries after the first |
//! | `upload`, `download`, `told` | one direction each; a response on a stream of HTTP/2 |
//! | `compress` | responses that are compressed |
//! | `enter` | the way in with TLS |
//! | `edit` | a route's edits of a head |
//! | `wish`, `relay` | another protocol: who asks for it, and its bytes after a 101 |
//! | `reply` | answers of the gateway's own |
//! | `track` | deadline and notes: what the log, the metrics and the timers need |
//! | `backend` | opening connections |
//! | `link`, `multiplex` | the backend's side: a connection of HTTP/1.1, or a stream of HTTP/2 |
//! | `straight` | the short way of messages from one stream to another |
//! | `inflow`, `flow` | a body on a stream of HTTP/2: how it comes, how it goes |
//! | `executor` | runs the streams of HTTP/2, all that are woken in one turn |
//! | `bell` | which of the things that a task waits for has happened |
//! | `wire` | reading and writing a socket |
//! | `socket`, `secure` | a socket as it is, or with TLS on it |

mod backend;
mod begin;
mod bell;
mod client;
mod compress;
mod core;
mod download;
mod edit;
mod enter;
mod exchange;
mod executor;
mod flow;
mod front;
mod http2;
mod inflow;
mod link;
mod multiplex;
mod plain;
mod relay;
mod reply;
mod retry;
mod secure;
mod socket;
mod splice;
mod straight;
mod told;
mod track;
mod upload;
mod wire;
mod wish;

pub(super) use self::begin::{Asked, prepare};
pub(super) use self::core::Core;
pub(super) use self::http2::heads::request_to;
pub(super) use self::secure::Secure;
pub(crate) use self::socket::Socket;
