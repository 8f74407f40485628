//! Reads of one resource by its name, in a closed loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hotswap_test_servers::{Postgres, PostgresOptions, Unavailable};
use tokio::task::JoinSet;

use super::super::args::Peer;
use super::Bench;
use super::client::{Client, Read};
use super::seed::{FEW, USUAL, seed};
use super::server::Server;
use crate::bench::process::{self, say};
use crate::bench::procfs::CpuReading;
use crate::bench::tools;

const CONNECTIONS: usize = 4;
const IN_FLIGHT: [usize; 2] = [16, 64];
const WARM_UP: Duration = Duration::from_millis(500);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// HotSwap on SQLite.
    Sqlite,
    /// HotSwap on PostgreSQL.
    Postgres,
    /// etcd.
    Etcd(Read),
}

/// One way of reading from one of them.
pub(crate) struct Series {
    pub(crate) who: Who,
    /// Each name once, right after a start; else the same few names again and again.
    pub(crate) cold: bool,
    pub(crate) in_flight: usize,
    pub(crate) turns: Vec<Turn>,
}

/// What one turn showed.
pub(crate) struct Turn {
    pub(crate) took: Duration,
    pub(crate) times: Vec<Duration>,
    /// CPU time of the server for a request, in µs.
    pub(crate) server_us: f64,
    /// CPU time of its database server for a request, in µs.
    pub(crate) database_us: f64,
    pub(crate) errors: u64,
}

/// One that is up. In this order they end: the database last.
struct Contestant {
    who: Vec<Who>,
    name: String,
    url: Option<String>,
    server: Option<Server>,
    database: Option<Postgres>,
}

/// Measures all.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Series>> {
    let mut contestants = Vec::new();
    if bench.args.peers.contains(&Peer::Hotswap) {
        contestants.push(Contestant::start(bench, vec![Who::Sqlite]).await?);
        contestants.push(Contestant::start(bench, vec![Who::Postgres]).await?);
    }
    if bench.args.peers.contains(&Peer::Etcd) {
        let reads = [Read::Linearizable, Read::Serializable].map(Who::Etcd);
        contestants.push(Contestant::start(bench, reads.to_vec()).await?);
    }
    let mut all = Vec::new();
    for cold in [false, true] {
        for in_flight in IN_FLIGHT {
            say(&format!("get: {}, {in_flight} in flight", if cold { "cold" } else { "warm" }));
            let ways = contestants.iter().flat_map(|c| c.who.iter());
            let mut series: Vec<Series> =
                ways.map(|who| Series { who: *who, cold, in_flight, turns: Vec::new() }).collect();
            for round in 0..bench.args.rounds as usize {
                for step in 0..series.len() {
                    let at = (round + step) % series.len();
                    let Some(one) = series.get_mut(at) else { continue };
                    let mut whose = contestants.iter_mut();
                    let contestant = whose.find(|c| c.who.contains(&one.who)).context("nobody")?;
                    one.turns.push(contestant.turn(bench, one.who, cold, in_flight).await?);
                }
            }
            all.append(&mut series);
        }
    }
    all.sort_by_key(|s| (s.cold, s.in_flight));
    Ok(all)
}

impl Contestant {
    async fn start(bench: &Bench, who: Vec<Who>) -> Result<Self> {
        let (peer, name) = match who.first() {
            Some(Who::Etcd(_)) => (Peer::Etcd, "get-etcd"),
            Some(Who::Postgres) => (Peer::Hotswap, "get-postgres"),
            _ => (Peer::Hotswap, "get-sqlite"),
        };
        say(&format!("filling {name} with {} names", bench.args.names));
        let database = if who == [Who::Postgres] { Some(postgres(bench).await?) } else { None };
        let url = database.as_ref().map(|d| d.url("postgres"));
        let mut this = Self { who, name: name.to_owned(), url, server: None, database };
        this.restart(bench, peer).await?;
        let server = this.server.as_ref().context("it is not up")?;
        seed(server, bench.args.names, USUAL).await?;
        // What a burst of writes leaves behind in memory is not what a read costs.
        this.restart(bench, peer).await?;
        Ok(this)
    }

    /// Ends the server where it runs, and starts it on what it had.
    async fn restart(&mut self, bench: &Bench, peer: Peer) -> Result<()> {
        self.server = None;
        self.server = Some(match &self.url {
            Some(url) => Server::hotswap(bench, &self.name, &["--database-url", url]).await?,
            None => Server::start(bench, peer, &self.name).await?,
        });
        Ok(())
    }

    async fn turn(&mut self, bench: &Bench, who: Who, cold: bool, in_flight: usize) -> Result<Turn> {
        let peer = self.server.as_ref().context("it is not up")?.peer;
        if cold {
            self.restart(bench, peer).await?;
        }
        let server = self.server.as_ref().context("it is not up")?;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(server).await?);
        }
        let read = match who {
            Who::Etcd(read) => read,
            Who::Sqlite | Who::Postgres => Read::Linearizable,
        };
        let load = |names, once, limit| Load { clients: &clients, read, in_flight, names, once, limit };
        if !cold {
            load(FEW, false, WARM_UP).run().await?;
        }
        let database = self.database.as_ref().map(postmaster).transpose()?;
        let reading = || -> Result<(CpuReading, CpuReading)> {
            let database = database.map(CpuReading::of_tree).transpose()?;
            Ok((CpuReading::of_tree(server.pid())?, database.unwrap_or_default()))
        };
        let before = reading()?;
        let seconds = Duration::from_secs(u64::from(bench.args.seconds));
        let names = if cold { bench.args.names } else { FEW };
        let (took, times, errors) = load(names, cold, seconds).run().await?;
        let after = reading()?;
        let ticks = rustix::param::clock_ticks_per_second();
        let us = |after: CpuReading, before: CpuReading| {
            let time = (after - before).time(ticks);
            (time.user_us + time.system_us) / times.len().max(1) as f64
        };
        let (server_us, database_us) = (us(after.0, before.0), us(after.1, before.1));
        Ok(Turn { took, times, server_us, database_us, errors })
    }
}

/// Clients that each send the next request when they have the answer to the one before.
struct Load<'a> {
    clients: &'a [Client],
    read: Read,
    in_flight: usize,
    names: u32,
    /// Until each name was read once; else until the time is up.
    once: bool,
    limit: Duration,
}

impl Load<'_> {
    /// How long it took, the time of each request, and errors, of which the first is told.
    async fn run(&self) -> Result<(Duration, Vec<Duration>, u64)> {
        let (next, errors) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let (names, read, once, limit) = (self.names, self.read, self.once, self.limit);
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        for mut client in self.clients.iter().cycle().take(self.in_flight).cloned() {
            let (next, errors) = (Arc::clone(&next), Arc::clone(&errors));
            tasks.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let name = next.fetch_add(1, Ordering::Relaxed);
                    if if once { name >= names } else { begin.elapsed() >= limit } {
                        return times;
                    }
                    let begin = Instant::now();
                    match client.get(name % names, read).await {
                        Ok(()) => times.push(begin.elapsed()),
                        Err(error) if errors.fetch_add(1, Ordering::Relaxed) == 0 => {
                            say(&format!("!! a read failed: {error:#}"));
                        }
                        Err(_) => {}
                    }
                }
            });
        }
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            times.append(&mut done.context("a reader failed")?);
        }
        Ok((begin.elapsed(), times, errors.load(Ordering::Relaxed)))
    }
}

/// A server on the servers' core, that keeps what is committed as in production.
async fn postgres(bench: &Bench) -> Result<Postgres> {
    let start = || {
        let options = PostgresOptions { durable: true, ..Default::default() };
        process::on_core(bench.cores.proxy, || Postgres::start(options))
    };
    Ok(match start()? {
        Err(Unavailable::Missing { .. }) => {
            tools::debian("postgresql", "pg_lsclusters").await?;
            start()??
        }
        other => other?,
    })
}

/// The process that all others of a PostgreSQL server stand below.
fn postmaster(database: &Postgres) -> Result<u32> {
    let file = database.data().join("postmaster.pid");
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    text.lines().next().and_then(|l| l.trim().parse().ok()).context("no process id")
}
