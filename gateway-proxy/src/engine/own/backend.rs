//! Connections to backends: opened here, kept by `upstream` between exchanges.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::core::{Backend, Core};
use super::socket::Socket;
use crate::engine::dial;
use crate::reason::Reason;
use crate::upstream::Reusable;

/// An open connection.
#[derive(Debug)]
pub(in crate::engine) struct Link(pub(super) Socket);

/// One that is being opened.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Link, Reason>>>>;

impl Reusable for Link {
    fn is_ready(&self) -> bool {
        self.0.is_quiet()
    }
}

/// Opens a connection, under a limit of its own.
pub(super) fn open(backend: &Backend, core: &Rc<Core>, timeout: Duration) -> Opening {
    let (backend, core) = (Rc::clone(backend), Rc::clone(core));
    Box::pin(async move {
        let opened = match tokio::time::timeout(timeout, connect(backend.text())).await {
            Ok(Ok(stream)) => Ok(Link(Socket::Plain(stream))),
            Ok(Err(error)) => {
                tracing::debug!(backend = %backend.text(), %error, "connect failed");
                Err(Reason::ConnectFailed)
            }
            Err(_) => Err(Reason::ConnectTimeout),
        };
        match &opened {
            Ok(_) => core.metrics.connects.add(1),
            Err(_) => core.metrics.connect_failures.add(1),
        }
        opened
    })
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = dial::open(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
