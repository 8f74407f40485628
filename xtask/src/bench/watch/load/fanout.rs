//! From a write call to the last of its watchers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};

use super::super::args::{Peer, WatchArgs};
use super::Bench;
use super::board::Tally;
use super::client::Client;
use super::quantile::quantile_ms;
use super::seed::{FEW, USUAL, seed};
use super::server::Server;
use super::watchers::{Shape, Watchers};
use crate::bench::process::say;
use crate::bench::procfs::{CpuReading, core_ticks};
use crate::bench::stats::Figure;

/// A watcher that has not seen a write after this has lost it.
const VISIBLE_LIMIT: Duration = Duration::from_secs(10);
/// Between connecting and a turn, and between turns: what was begun before is done.
const SETTLE: Duration = Duration::from_secs(1);
/// Writes before the first turn, unmeasured.
const WARM_UP: u32 = 10;

/// One server with so many watchers.
pub(crate) struct Series {
    pub(crate) peer: Peer,
    pub(crate) watchers: usize,
    /// How many of them share a connection.
    pub(crate) per_connection: usize,
    /// From write to write at least, in ms.
    pub(crate) pace_ms: u64,
    /// The watchers acknowledge a change when all have it, not at once.
    pub(crate) late: bool,
    pub(crate) turns: Vec<Turn>,
}

impl Series {
    /// What another server's series is to have in common with this one.
    pub(crate) fn shape(&self) -> (usize, usize, u64) {
        (self.watchers, self.per_connection, self.pace_ms)
    }

    /// In words.
    pub(crate) fn pace(&self) -> String {
        if self.pace_ms == 0 { "at once".to_owned() } else { format!("every {} ms", self.pace_ms) }
    }

    /// Until the last watcher had it: the quantile over the writes of all rounds, in ms.
    pub(crate) fn visible_ms(&self, q: f64) -> f64 {
        self.pooled_ms(|t| &t.visible, q)
    }

    /// CPU time of the server a write, in µs: the median over the rounds.
    pub(crate) fn server_us(&self) -> f64 {
        Figure::of(self.turns.iter().map(|t| t.server_us)).map_or(0.0, |f| f.median)
    }

    /// The quantile of other times of all rounds, in ms.
    pub(crate) fn pooled_ms(&self, of: fn(&Turn) -> &Vec<Duration>, q: f64) -> f64 {
        let times: Vec<Duration> = self.turns.iter().flat_map(|t| of(t).iter().copied()).collect();
        quantile_ms(&times, q)
    }
}

/// What one turn showed.
#[derive(Default)]
pub(crate) struct Turn {
    /// From the call's start to its answer.
    pub(crate) calls: Vec<Duration>,
    /// From the call's start until the last watcher had decoded it.
    pub(crate) visible: Vec<Duration>,
    /// CPU time of the server a write, in µs.
    pub(crate) server_us: f64,
    /// CPU time of this process a write, in µs: it does the work of all watchers.
    pub(crate) load_us: f64,
    /// Bytes that the server sent to a watcher a write.
    pub(crate) received: f64,
    /// Bytes that a watcher sent to the server a write.
    pub(crate) sent: f64,
    /// Events that did not come exactly once.
    pub(crate) tally: Tally,
    /// Share of the server's core, 0 to 1, that others used during the turn.
    pub(crate) foreign: f64,
}

/// What all turns were made with.
pub(crate) struct Fanout {
    /// Bytes of a route, and of a value.
    pub(crate) size: usize,
    pub(crate) series: Vec<Series>,
}

/// Writes one after the other.
#[derive(Clone, Copy)]
struct Writes {
    count: u32,
    /// From the start of one to the start of the next, at least.
    pace: Duration,
    /// Bytes of a value.
    size: usize,
    /// The watchers acknowledge a change when all have it, not at once.
    late: bool,
}

/// One server, its writer, and its watchers of the moment.
struct Contestant {
    server: Server,
    writer: Client,
    watchers: Option<Watchers>,
    /// Writes so far.
    turn: u64,
}

/// Measures all.
pub(crate) async fn measure(bench: &Bench) -> Result<Fanout> {
    let mut size = USUAL;
    let mut contestants = Vec::new();
    let mut peers = bench.args.peers.clone();
    // The route's size is that of the values.
    peers.sort_by_key(|p| *p != Peer::Hotswap);
    for peer in peers {
        let server = Server::start(bench, peer, &format!("fanout-{peer}")).await?;
        seed(&server, FEW, size).await?;
        let mut writer = Client::connect(&server).await?;
        size = writer.route_size().await?.unwrap_or(size);
        contestants.push(Contestant { server, writer, watchers: None, turn: 0 });
    }
    let mut series = Vec::new();
    for shape in shapes(&bench.args) {
        for contestant in &mut contestants {
            contestant.connect(shape, size).await?;
        }
        for &pace_ms in &bench.args.pace {
            let (count, pace) = (bench.args.writes, Duration::from_millis(pace_ms));
            let writes = Writes { count, pace, size, late: false };
            series.append(&mut rounds(bench, &mut contestants, shape, writes).await?);
            // Without a pause the next change would wait for them.
            if let Some(ours) = contestants.first_mut().filter(|c| c.server.peer == Peer::Hotswap)
                && pace_ms > 0
                && shape.watchers > 1
            {
                let writes = Writes { late: true, ..writes };
                series.append(&mut rounds(bench, std::slice::from_mut(ours), shape, writes).await?);
            }
        }
    }
    Ok(Fanout { size, series })
}

/// All shapes, each once: a lone watcher has a connection of its own anyway.
fn shapes(args: &WatchArgs) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    for &watchers in &args.watchers {
        for &per_connection in &args.watchers_per_connection {
            let shape = Shape { watchers, per_connection: per_connection.min(watchers), stall: args.stall };
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes
}

/// Every server's turns, interleaved.
async fn rounds(
    bench: &Bench,
    contestants: &mut [Contestant],
    shape: Shape,
    writes: Writes,
) -> Result<Vec<Series>> {
    let count = contestants.len();
    let mut series = Vec::new();
    for contestant in contestants.iter() {
        let Shape { watchers, per_connection, .. } = shape;
        let pace_ms = u64::try_from(writes.pace.as_millis()).unwrap_or(u64::MAX);
        let (peer, turns) = (contestant.server.peer, Vec::new());
        series.push(Series { peer, watchers, per_connection, pace_ms, late: writes.late, turns });
    }
    for round in 0..bench.args.rounds as usize {
        for step in 0..count {
            // Another one begins each time.
            let at = (round + step) % count;
            let (Some(contestant), Some(series)) = (contestants.get_mut(at), series.get_mut(at)) else {
                continue;
            };
            tokio::time::sleep(SETTLE).await;
            let turn = contestant.turn(bench, writes).await;
            let of = || format!("{} with {} watchers", series.peer, series.watchers);
            series.turns.push(turn.with_context(of)?);
        }
    }
    Ok(series)
}

impl Contestant {
    async fn connect(&mut self, shape: Shape, size: usize) -> Result<()> {
        let Shape { watchers, per_connection, .. } = shape;
        say(&format!("{}: {watchers} watchers, {per_connection} on a connection", self.server.peer));
        // What was connected before ends first.
        self.watchers = None;
        let connected = Watchers::connect(&self.server, shape).await;
        self.watchers =
            Some(connected.with_context(|| format!("connecting watchers to {}", self.server.peer))?);
        tokio::time::sleep(SETTLE).await;
        self.writes(Writes { count: WARM_UP, pace: Duration::ZERO, size, late: false }).await?;
        Ok(())
    }

    fn watchers(&self) -> Result<&Watchers> {
        self.watchers.as_ref().context("no watchers")
    }

    async fn turn(&mut self, bench: &Bench, writes: Writes) -> Result<Turn> {
        let (begin, core) = (Instant::now(), core_ticks(bench.cores.proxy)?);
        let before = self.watchers()?.traffic.read();
        let (server, load) = (CpuReading::of_tree(self.server.pid())?, own_cpu_us());
        let mut turn = self.writes(writes).await?;
        let ticks = rustix::param::clock_ticks_per_second();
        let server = (CpuReading::of_tree(self.server.pid())? - server).time(ticks);
        let core_us = core_ticks(bench.cores.proxy)?.saturating_sub(core) as f64 * 1e6 / ticks as f64;
        let others_us = (core_us - server.user_us - server.system_us).max(0.0);
        turn.foreign = others_us / begin.elapsed().as_micros() as f64;
        let load = own_cpu_us() - load;
        let (received, sent) = self.watchers()?.traffic.read();
        let count = f64::from(writes.count);
        let deliveries = count * self.watchers()?.board.len() as f64;
        turn.server_us = (server.user_us + server.system_us) / count;
        turn.load_us = load / count;
        turn.received = (received - before.0) as f64 / deliveries;
        turn.sent = (sent - before.1) as f64 / deliveries;
        Ok(turn)
    }

    /// Each write is made when all watchers have the one before.
    async fn writes(&mut self, writes: Writes) -> Result<Turn> {
        let watchers = self.watchers.as_ref().context("no watchers")?;
        watchers.stall();
        watchers.acknowledge_late(writes.late);
        let mut turn = Turn::default();
        let mut written = BTreeSet::new();
        for _ in 0..writes.count {
            self.turn += 1;
            let index = u32::try_from(self.turn % u64::from(FEW)).unwrap_or(0);
            let begin = Instant::now();
            let revision = self.writer.write(index, self.turn, writes.size).await?;
            turn.calls.push(begin.elapsed());
            let last = watchers.board.complete(revision, VISIBLE_LIMIT).await?;
            turn.visible.push(last.duration_since(begin));
            written.insert(revision);
            tokio::time::sleep(writes.pace.saturating_sub(begin.elapsed())).await;
        }
        turn.tally = watchers.board.tally(&written);
        if written.len() != writes.count as usize {
            bail!("{} writes made {} revisions", writes.count, written.len());
        }
        Ok(turn)
    }
}

/// CPU time of this process so far, in µs.
fn own_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
