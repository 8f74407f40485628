//! What the cores are to do: all of them the same.

use std::net::SocketAddr;
use std::sync::Arc;

/// What the cores are to do. An order only ever follows one that stands above it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Get ready, but accept nobody: another gateway still does.
    Wait,
    /// Serve.
    Serve,
    /// Accept nobody any more, since another gateway does; serve those who are there. Nobody waits for the end: an idle
    /// connection may ask once more, and is told then that it was the last time.
    Leave {
        /// Where that one does not listen: who waits there already is still served.
        closed: Arc<[SocketAddr]>,
    },
    /// Accept nobody any more; let what is under way end, and close what is idle.
    Stop,
}

/// How far a core is in letting its connections go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Drain {
    /// It serves.
    #[default]
    No,
    /// As [`Order::Leave`] says.
    Leaving,
    /// As [`Order::Stop`] says.
    Stopping,
}

impl Order {
    /// Whether nobody is accepted any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Leave { .. } | Self::Stop)
    }

    /// Whether those who wait at this address are still let in.
    pub(super) fn lets_in(&self, at: Option<SocketAddr>) -> bool {
        match self {
            Self::Wait | Self::Serve => false,
            Self::Leave { closed } => at.is_some_and(|at| closed.contains(&at)),
            Self::Stop => true,
        }
    }
}
