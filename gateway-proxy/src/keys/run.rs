//! When key sets are fetched: a thread that follows the ring in force.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::watch;

use super::{Fetcher, Keeping};
use crate::backend_state::clock;
use crate::config::Live;
use crate::engine::Order;
use crate::metrics::ControlMetrics;

/// How long nothing is looked at where nothing is due, in ms.
const LONG: u64 = 60_000;

/// Keeps the key sets of the configuration in force fresh on this thread, until it is told to stop.
///
/// # Errors
/// Where the runtime can't be built.
pub(crate) fn run(
    config: &Live,
    order: watch::Receiver<Order>,
    (fetcher, keeping): (Fetcher, Option<Keeping>),
    metrics: Arc<ControlMetrics>,
) -> std::io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(follow(config, order, (fetcher, keeping), metrics));
    // A file system that hangs is not waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn follow(
    config: &Live,
    mut order: watch::Receiver<Order>,
    (fetcher, mut keeping): (Fetcher, Option<Keeping>),
    metrics: Arc<ControlMetrics>,
) {
    let mut rings = config.keys();
    loop {
        let ring = rings.borrow_and_update().clone();
        let now = clock::now_ms();
        let mut next = now + LONG;
        // Before that nobody knows which sources routes will name.
        if let Some(keeping) = keeping.as_mut().filter(|_| config.now().revision().is_some()) {
            keeping.look(&ring, now);
        }
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
