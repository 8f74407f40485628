//! The commands about one backend.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::completer;
use crate::connection::ClientArgs;

/// `backend`.
#[derive(Args, Debug)]
pub(crate) struct Backend {
    #[command(subcommand)]
    pub(crate) action: BackendAction,
}

/// What it may do.
#[derive(Debug, Subcommand)]
pub(crate) enum BackendAction {
    /// Send it no new requests; those under way end
    Drain(BackendPlace),
    /// Send it requests again, as health and breaker allow
    Enable(BackendPlace),
    /// Hold its breaker open: no requests
    HoldOpen(BackendPlace),
    /// Hold its breaker closed: requests, whatever fails
    HoldClosed(BackendPlace),
}

/// Which backend.
#[derive(Args, Debug)]
pub(crate) struct BackendPlace {
    /// `pools/NAME`, or its name alone
    #[arg(value_name = "POOL", add = ArgValueCompleter::new(completer::pools))]
    pub(crate) pool: String,
    /// Its address in the pool, as 10.0.0.7:8080
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
