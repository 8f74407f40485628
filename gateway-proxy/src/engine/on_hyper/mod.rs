//! The engine that stands on hyper's connection API.
//!
//! # Who runs
//! A client connection is one task, a backend connection another; hyper passes requests and body chunks
//! between them. An exchange is a future inside the client's task, so a client that goes away drops it, and
//! with it the lease on the backend's connection, which is cut unless both bodies came to their end.

mod body;
mod conn;
mod connect;
mod exchange;
mod heads;
mod io;
mod kept;
mod local;
mod record;
mod retry;
mod target;

use std::cell::RefCell;
use std::future::Future as _;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;

use self::conn::{Conn, Phase};
use self::connect::Connection;
use self::heads::Heads;
use self::io::ClientIo;
use super::room::Place;
use super::serve::Engine;
use super::shared::Shared;
use super::{CoreSetup, Limits, WayIn};
use crate::upstream::Upstream;

/// Headers that hyper takes without asking for memory.
const HYPER_MAX_HEADERS: usize = 100;
/// What hyper may hold of a body in each direction, in bytes. More makes large bodies no cheaper, and a slow
/// client dearer.
const BODY_BUFFER: usize = 128 * 1024;

/// A backend, as this core knows it.
type Backend = Rc<Upstream<Connection>>;

/// A core that runs on hyper.
pub(super) struct Core {
    shared: Shared<Connection>,
    builder: http1::Builder,
    /// Bytes that clients send outside of bodies come through here.
    heads: RefCell<Heads>,
}

impl Core {
    pub(super) fn new(setup: &CoreSetup) -> Self {
        let shared = Shared::new(setup);
        Self { shared, builder: builder(&setup.limits), heads: RefCell::default() }
    }
}

impl Deref for Core {
    type Target = Shared<Connection>;

    fn deref(&self) -> &Shared<Connection> {
        &self.shared
    }
}

impl Engine for Core {
    type Connection = Connection;

    fn shared(&self) -> &Shared<Connection> {
        &self.shared
    }

    fn accept(self: &Rc<Self>, (stream, peer): (TcpStream, SocketAddr), _: &WayIn, place: Place) {
        let conn = Rc::new(Conn::new(Rc::clone(self), peer));
        // One task for each connection, all of them ended by the runtime's end; the drain waits for their count.
        tokio::task::spawn_local(async move {
            connection(conn, stream).await;
            drop(place);
        });
    }
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

async fn connection(conn: Rc<Conn>, stream: TcpStream) {
    let service = {
        let conn = Rc::clone(&conn);
        service_fn(move |request| exchange::answer(Rc::clone(&conn), request))
    };
    let io = ClientIo::new(stream, Rc::clone(&conn));
    let mut http = pin!(conn.core.builder.serve_connection(io, service));
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
