//! The end of a gateway that was handed over: part after part, and the process last.

use std::sync::Arc;
use std::time::Duration;

use hotswap_runtime::CancellationToken;

use super::{Given, Giver, WATCHING};
use crate::plane::DataPlane;

/// For those who have connected to the admin page, and have not asked yet.
const PAGE: Duration = Duration::from_millis(500);

/// What ends parts of the gateway before the process ends.
pub(crate) struct Ends {
    /// Another gateway has taken over.
    pub(crate) left: CancellationToken,
    /// The admin page ends.
    pub(crate) page: CancellationToken,
    /// The watch ends.
    pub(crate) watch: CancellationToken,
    /// All of it ends.
    shutdown: CancellationToken,
}

impl Ends {
    /// `shutdown` ends all of it.
    pub(crate) fn new(left: CancellationToken, shutdown: &CancellationToken) -> Self {
        let (page, watch) = (CancellationToken::new(), shutdown.child_token());
        Self { left, page, watch, shutdown: shutdown.clone() }
    }

    /// A task whose end ends the process, but not once another gateway has taken over.
    pub(crate) fn essential(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (left, shutdown) = (self.left.clone(), self.shutdown.clone());
        async move {
            task.await;
            if left.is_cancelled() {
                shutdown.cancelled().await;
            }
        }
    }
}

/// Waits until the gateway is to stop; or until another one serves in its place, which is given.
pub(crate) async fn until_end(giver: Option<Giver>, shutdown: &CancellationToken) -> Option<Given> {
    match giver {
        Some(giver) => giver.run(shutdown.clone()).await,
        None => {
            shutdown.cancelled().await;
            None
        }
    }
}

impl Given {
    /// Leaves to the other gateway what comes, and serves those who are there to their end.
    pub(crate) async fn leave(mut self, mut plane: DataPlane, ends: &Ends) {
        ends.left.cancel();
        plane.leave(Arc::clone(&self.closed));
        self.gone().await;
        tracing::info!("another gateway has taken over; open exchanges go on here to their end");
        let threads = plane.threads();
        let served = tokio::task::spawn_blocking(move || threads.join());
        let watched = async {
            tokio::select! {
                () = self.watched(2 * WATCHING) => {}
                () = ends.shutdown.cancelled() => {}
            }
            ends.watch.cancel();
        };
        let page = async {
            tokio::time::sleep(PAGE).await;
            ends.page.cancel();
        };
        let all = async { tokio::join!(served, watched, page).0 };
        tokio::pin!(all);
        let served = tokio::select! {
            served = &mut all => served,
            () = ends.shutdown.cancelled() => {
                plane.stop();
                all.await
            }
        };
        if served.is_err() {
            tracing::error!("the cores did not end in order");
        }
    }
}
