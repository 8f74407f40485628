//! Real sockets on both sides: a gateway with a configuration of its own, backends that do what a test says,
//! and a client that sends bytes and reads responses.

mod backend;
mod gateway;
mod wire;

use std::future::Future;
use std::time::Duration;

pub use self::backend::*;
pub use self::gateway::*;
pub use self::wire::*;

/// Long enough that only a hang reaches it.
pub const HANG: Duration = Duration::from_secs(30);

/// Fails a test that hangs.
pub async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(HANG, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: hangs"),
    }
}

/// Writes a part of the page that `cargo xtask conformance` makes, where that runs the tests.
pub fn record(part: &str, text: &str) {
    if let Some(folder) = std::env::var_os("HOTSWAP_CONFORMANCE_PARTS") {
        std::fs::write(std::path::Path::new(&folder).join(part), text).expect("written");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own task, which ends with it")]
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    tokio::spawn(future)
}
