//! The watch: one feed a process, which follows the store, and one session a proxy, which follows the feed.
//!
//! ```text
//!   store ──commit──► Feed: head, every resource in wire form, the log of what each revision touched
//!                       │ wakes
//!                       ▼
//!                     Session (a proxy): Hello ─► Reset + Snapshot | Delta ─► Ack (validated, active) ─► …
//! ```

mod arms;
mod codec;
mod feed;
mod questions;
mod relay;
mod server;
mod session;
mod told;

use std::net::SocketAddr;

use hotswap_api::gateway::v1 as wire;
use hotswap_runtime::tls::is_loopback;
use hotswap_runtime::{Supervisor, TaskKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use codec::Frame;
pub(crate) use feed::Feed;
pub(crate) use questions::Questions;
pub(crate) use relay::relay;
pub(super) use relay::{packed, unpacked};
pub(crate) use server::WatchServer;
use session::Session;

use crate::app::{Arms, Fleet};
use crate::metrics::RouteMetrics;

/// Messages that may wait for a proxy that reads slowly.
const BUFFER: usize = 8;

/// The service.
pub(crate) struct WatchRpc {
    pub(crate) feed: Feed,
    pub(crate) fleet: Fleet,
    pub(crate) questions: Questions,
    pub(crate) arms: Arms,
    pub(crate) supervisor: Supervisor,
    pub(crate) metrics: RouteMetrics,
    /// Whether a snapshot may take most of what a proxy has.
    pub(crate) allow_mass_delete: bool,
    /// Whether proxies come through TLS.
    pub(crate) tls: bool,
}

impl WatchRpc {
    /// Begins a session, and gives what it says.
    fn watch_config(
        &self,
        request: Request<Streaming<wire::WatchConfigRequest>>,
    ) -> Response<ReceiverStream<Result<Frame, Status>>> {
        let (to_proxy, out) = mpsc::channel(BUFFER);
        let session = Session::new(self, to_proxy.clone(), is_private(self.tls, request.remote_addr()));
        let inbound = request.into_inner();
        self.supervisor.spawn("watch", TaskKind::Connection, async move {
            if let Err(status) = session.run(inbound).await {
                // Where nothing was read there is no room for it, and nobody to wait for.
                let _ = to_proxy.try_send(Err(status));
            }
        });
        Response::new(ReceiverStream::new(out))
    }
}

/// Whether nobody can listen in on the way to a caller: it is TLS, or does not leave this machine. A socket in a folder has
/// no address.
fn is_private(tls: bool, from: Option<SocketAddr>) -> bool {
    tls || from.is_none_or(|from| is_loopback(from.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_leave_this_machine_through_tls_alone() {
        let at = |text: &str| Some(text.parse().expect("an address"));
        for here in [None, at("127.0.0.1:1"), at("[::1]:1"), at("[::ffff:127.0.0.1]:1")] {
            assert!(is_private(false, here), "{here:?}");
        }
        for there in [at("10.0.0.7:1"), at("[2001:db8::1]:1")] {
            assert!(is_private(true, there) && !is_private(false, there), "{there:?}");
        }
    }
}
