//! The gateway on real sockets.

mod clients;
mod failures;
mod proxying;
mod support;
