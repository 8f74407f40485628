//! Why a process does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A reason not to start: one line, which says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} ({what}, {flag}): {}", io_words(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What would listen there.
        what: &'static str,
        /// The option that sets it.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another process uses the data folder.
    #[error(
        "the data folder {path} is in use by another process; stop that one, or choose another with --data-dir"
    )]
    DataDirInUse {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder can't be used.
    #[error("cannot use the data folder {path}: {}", io_words(source))]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An option's value can't be used.
    #[error("{0}")]
    Option(String),
    /// Something that the process builds on failed.
    #[error("{what}: {}", chain(source.as_ref()))]
    Failed {
        /// What was tried, as "opening the database".
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StartError {
    /// A failure of something the process builds on.
    pub fn failed(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Failed { what, source }
    }
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use".into(),
        io::ErrorKind::AddrNotAvailable => "the address is not of this machine".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::StorageFull => "the disk is full".into(),
        _ => error.to_string(),
    }
}

/// An error with its causes, in one line. A cause that its effect has told already is not told again.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(c) = cause {
        let told = c.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = c.source();
    }
    text
}
