//! Fills a server before it is measured.

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::client::Client;
use super::server::Server;

/// Routes that the writes of a run turn through.
pub(crate) const FEW: u32 = 100;
/// Writes under way at once.
const PARALLEL: u32 = 64;
/// Bytes of a value in etcd where no HotSwap says how many.
pub(crate) const USUAL: usize = 400;

/// Makes so many routes, or keys of `size` bytes.
pub(crate) async fn seed(server: &Server, routes: u32, size: usize) -> Result<()> {
    let mut client = Client::connect(server).await?;
    client.prepare().await?;
    let mut tasks = JoinSet::new();
    for first in 0..PARALLEL.min(routes) {
        let mut client = client.clone();
        tasks.spawn(async move {
            for index in (first..routes).step_by(PARALLEL as usize) {
                client.create(index, size).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a writer failed")?.with_context(|| format!("filling {}", server.peer))?;
    }
    Ok(())
}
