//! HTTP/2 towards backends, on the h2 crate.
//!
//! A core has few connections to a backend, and each carries many streams. A connection is a task of its own; the
//! exchange, whose client may speak either version, holds a stream of it as it would hold a connection of HTTP/1.1.
//!
//! ```text
//!   Client<F> … ─► Stream ─► h2 ─► Wire ─► socket          one task for each client or stream of one
//!                              └── Connection ──┘           one task for each connection to a backend
//! ```
//!
//! | file | part |
//! |---|---|
//! | `lines` | the connections of a core to one backend: which takes a stream, when another is opened |
//! | `connection` | a connection: its deadlines, its end |
//! | `stream` | a stream as the backend's side of an exchange |

mod connection;
mod lines;
mod stream;

pub(in crate::engine) use self::lines::Lines;
pub(super) use self::lines::wait;
pub(super) use self::stream::Lost;
pub(in crate::engine) use self::stream::Stream;
