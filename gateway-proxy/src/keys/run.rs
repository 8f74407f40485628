//! When key sets are fetched: a thread that follows the ring in force.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::watch;

use super::{Fetcher, KeyRing};
use crate::backend_state::clock;
use crate::engine::Order;
use crate::metrics::ControlMetrics;

/// How long nothing is looked at where nothing is due, in ms.
const LONG: u64 = 3_600_000;

/// Keeps the key sets of the configuration in force fresh on this thread, until it is told to stop.
///
/// # Errors
/// Where the runtime can't be built.
pub(crate) fn run(
    rings: watch::Receiver<KeyRing>,
    order: watch::Receiver<Order>,
    fetcher: Fetcher,
    metrics: Arc<ControlMetrics>,
) -> std::io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(follow(rings, order, fetcher, metrics));
    // A file system that hangs is not waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn follow(
    mut rings: watch::Receiver<KeyRing>,
    mut order: watch::Receiver<Order>,
    fetcher: Fetcher,
    metrics: Arc<ControlMetrics>,
) {
    loop {
        let ring = rings.borrow_and_update().clone();
        let now = clock::now_ms();
        let mut next = now + LONG;
        for remote in ring.live() {
            match remote.due() {
                Some(due) if due <= now => {
                    remote.begins(now);
                    let (fetcher, metrics) = (fetcher.clone(), Arc::clone(&metrics));
                    // Ends by its own limit, or with the runtime.
                    tokio::task::spawn_local(async move {
                        let came = fetcher.fetch(&remote.source.place).await;
                        let count = if came.is_ok() { &metrics.keys_ok } else { &metrics.keys_failed };
                        count.fetch_add(1, Ordering::Relaxed);
                        remote.ended(came, clock::now_ms());
                    });
                }
                Some(due) => next = next.min(due),
                None => {}
            }
        }
        tokio::select! {
            () = ring.0.changed.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(next - now)) => {}
            changed = rings.changed() => if changed.is_err() { return },
            _ = order.wait_for(Order::is_over) => return,
        }
    }
}
