//! What a server holds for a watcher while nothing happens.

use std::time::Duration;

use anyhow::{Context, Result};

use super::super::args::Peer;
use super::Bench;
use super::client::Client;
use super::seed::{FEW, USUAL, seed};
use super::server::{Memory, Server};
use super::watchers::{Shape, Watchers};
use crate::bench::process::say;

/// Long enough that whatever connecting began is done, and that a sign of life has gone to each.
const IDLE: Duration = Duration::from_secs(20);

/// One server with and without watchers.
pub(crate) struct Held {
    pub(crate) peer: Peer,
    pub(crate) watchers: usize,
    pub(crate) per_connection: usize,
    pub(crate) without: Memory,
    pub(crate) with: Memory,
}

/// Measures each server, with watchers that share connections and with watchers that have one each.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Held>> {
    let watchers = bench.args.watchers.last().copied().context("no watchers")?;
    let mut held = Vec::new();
    for &peer in &bench.args.peers {
        for &per_connection in &bench.args.watchers_per_connection {
            say(&format!("{peer}: {watchers} idle watchers, {per_connection} on a connection"));
            let server = Server::start(bench, peer, &format!("memory-{peer}-{per_connection}")).await?;
            seed(&server, FEW, USUAL).await?;
            // What the first read brings along is not a watcher's.
            Client::connect(&server).await?.route_size().await?;
            tokio::time::sleep(IDLE / 4).await;
            let without = server.memory()?;
            let shape = Shape { watchers, per_connection, stall: None };
            let _watchers = Watchers::connect(&server, shape).await?;
            tokio::time::sleep(IDLE).await;
            held.push(Held { peer, watchers, per_connection, without, with: server.memory()? });
        }
    }
    Ok(held)
}
