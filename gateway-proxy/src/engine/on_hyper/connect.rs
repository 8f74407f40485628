//! Connections to backends: opened here, lent to one exchange, given back or cut.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use hotswap_matcher::BackendProtocol;
use hyper::client::conn::http1;
use tokio::task::AbortHandle;

use super::BODY_BUFFER;
use super::body::RequestBody;
use super::io::BackendIo;
use super::{Backend, Core};
use crate::engine::dial;
use crate::reason::Reason;
use crate::upstream::Reusable;

/// A head of a response, in bytes, at most.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// An open connection. Its other half is a task, which hyper drives.
pub(in crate::engine) struct Connection {
    send: http1::SendRequest<RequestBody>,
    task: AbortHandle,
}

/// A connection that an exchange uses. Dropped, it is cut: only one that was given back is whole.
pub(super) struct Lease {
    connection: Option<Connection>,
    backend: Backend,
}

impl Reusable for Connection {
    type Many = ();

    fn is_ready(&self) -> bool {
        self.send.is_ready()
    }
}

impl Lease {
    /// One that is open already; `None`: there is none.
    pub(super) fn reuse(backend: &Backend) -> Option<Self> {
        let connection = backend.checkout()?;
        Some(Self { connection: Some(connection), backend: Rc::clone(backend) })
    }

    /// A new one.
    pub(super) async fn open(backend: &Backend, core: &Rc<Core>, timeout: Duration) -> Result<Self, Reason> {
        if backend.address().tls().is_some() || backend.address().protocol() == BackendProtocol::Http2 {
            return Err(Reason::PoolUnsupported);
        }
        let opened = match tokio::time::timeout(timeout, connect(backend, core)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::debug!(backend = %backend.text(), %error, "connect failed");
                Err(dial::Unreachable::from(error).reason())
            }
            Err(_) => Err(Reason::ConnectTimeout),
        };
        match &opened {
            Ok(_) => core.metrics.connects.add(1),
            Err(_) => core.metrics.connect_failures.add(1),
        }
        Ok(Self { connection: Some(opened?), backend: Rc::clone(backend) })
    }

    /// What takes the request; `None` only after the end.
    pub(super) fn sender(&mut self) -> Option<&mut http1::SendRequest<RequestBody>> {
        self.connection.as_mut().map(|c| &mut c.send)
    }

    /// The exchange is over, and both sides of it came to their end. `now` is the core's time in ms.
    pub(super) fn give_back(mut self, now: u64) {
        if let Some(connection) = self.connection.take() {
            self.backend.checkin(connection, now);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.task.abort();
        }
    }
}

async fn connect(backend: &Backend, core: &Rc<Core>) -> io::Result<Connection> {
    let stream = dial::open(backend.text()).await?;
    stream.set_nodelay(true)?;
    let io = BackendIo::new(stream, Rc::clone(core));
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_RESPONSE_HEAD).max_buf_size(BODY_BUFFER);
    let handshake = builder.handshake(io).await;
    let (send, driver) = handshake.map_err(io::Error::other)?;
    let task = tokio::task::spawn_local(async move {
        // Its exchange learns of a failure from the other half.
        let _ = driver.await;
    });
    Ok(Connection { send, task: task.abort_handle() })
}
