//! From a write call to the first request that a gateway answers by it.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hotswap_api::gateway::v1::WaitForRevisionRequest;
use hotswap_api::gateway::v1::fleet_service_client::FleetServiceClient;
use hotswap_api::route::v1::Route;
use tokio::task::JoinSet;

use super::Bench;
use super::client::{Client, Hotswap, route, signpost};
use super::poller::{Poller, Sign};
use super::server::{Server, hotswap};
use super::sockets;
use crate::bench::process::{Group, say};
use crate::bench::procfs::CpuReading;

/// Routes of the table that are changed in turn.
const SIGNS: u32 = 5;
/// Writes under way at once while the table is filled.
const PARALLEL: u32 = 64;
/// How long a gateway may take to get a whole table.
const TABLE_LIMIT: Duration = Duration::from_secs(300);
const LIVE_LIMIT: Duration = Duration::from_secs(60);
/// Changes before the measured ones.
const WARM_UP: u64 = 5;
/// Between a change and the next: what the one before left to do is done.
const PAUSE: Duration = Duration::from_millis(50);

/// One table.
pub(crate) struct Table {
    pub(crate) routes: u32,
    pub(crate) hosts: u32,
    /// From the first write until all were written.
    pub(crate) seeded: Duration,
    /// From the start of the gateway until it served the last route.
    pub(crate) loaded: Duration,
    /// From the call's start to the first answer by the change.
    pub(crate) served: Vec<Duration>,
    /// From the call's start to its answer.
    pub(crate) calls: Vec<Duration>,
    /// For one change without any request: CPU time of the control plane, in µs.
    pub(crate) control_us: f64,
    /// The same of the gateway.
    pub(crate) gateway_us: f64,
    /// Bytes that the gateway got from the control plane for one change.
    pub(crate) bytes: f64,
}

/// What runs for one table.
struct Stage {
    server: Server,
    client: Hotswap,
    gateway: Group,
    poller: Poller,
    hosts: u32,
    turn: u64,
}

/// Measures every table.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    for &routes in &bench.args.routes {
        for &per_host in &bench.args.routes_per_host {
            let routes = routes.max(SIGNS);
            let hosts = if per_host == 0 { 1 } else { routes.div_ceil(per_host) };
            if tables.iter().any(|t| (t.routes, t.hosts) == (routes, hosts)) {
                continue;
            }
            let of = || format!("{routes} routes on {hosts} hosts");
            tables.push(table(bench, routes, hosts).await.with_context(of)?);
        }
    }
    Ok(tables)
}

async fn table(bench: &Bench, routes: u32, hosts: u32) -> Result<Table> {
    say(&format!("e2e: {routes} routes on {hosts} hosts"));
    let name = format!("e2e-{routes}-{hosts}");
    let server = Server::hotswap(bench, &name, &[]).await?;
    let Client::Hotswap(mut client) = Client::connect(&server).await? else {
        bail!("not a client of HotSwap")
    };
    let begin = Instant::now();
    fill(&mut client, routes, hosts).await.context("filling the table")?;
    let seeded = begin.elapsed();
    let begin = Instant::now();
    let (gateway, listen) = gateway(bench, &server, &name).await.context("starting the gateway")?;
    let poller = Poller::start(listen)?;
    let mut stage = Stage { server, client, gateway, poller, hosts, turn: 0 };
    let wait = stage.poller.begin(stage.sign(0, 0), TABLE_LIMIT).await?;
    wait.found().await.context("the gateway does not serve the table")?;
    let loaded = begin.elapsed();
    say(&format!("filled in {:.1} s, loaded in {:.1} s", seeded.as_secs_f64(), loaded.as_secs_f64()));
    for _ in 0..WARM_UP {
        stage.change().await?;
    }
    let (mut calls, mut served) = (Vec::new(), Vec::new());
    for _ in 0..bench.args.changes {
        let (call, seen) = stage.change().await?;
        calls.push(call);
        served.push(seen);
    }
    let (control_us, gateway_us, bytes) = stage.cost(bench.args.changes).await?;
    Ok(Table { routes, hosts, seeded, loaded, served, calls, control_us, gateway_us, bytes })
}

impl Stage {
    /// One change: how long the call took, and how long until the gateway answered by it.
    async fn change(&mut self) -> Result<(Duration, Duration)> {
        tokio::time::sleep(PAUSE).await;
        self.turn += 1;
        let index = self.index();
        let wait = self.poller.begin(self.sign(index, self.turn), LIVE_LIMIT).await?;
        let begin = Instant::now();
        self.client.update(signpost(index, self.turn, &host(index, self.hosts))).await?;
        let call = begin.elapsed();
        let found = wait.found().await?;
        if found.requests < 2 {
            bail!("the first answer was by a change that was not yet written");
        }
        Ok((call, found.at.duration_since(begin)))
    }

    /// CPU time of the control plane and of the gateway, and bytes to it, for one of so many changes.
    async fn cost(&mut self, changes: u32) -> Result<(f64, f64, f64)> {
        let ticks = rustix::param::clock_ticks_per_second();
        let (control, gateway) = (self.server.pid(), self.gateway.pid());
        let before = (CpuReading::of_tree(control)?, CpuReading::of_tree(gateway)?);
        let bytes = sockets::received(gateway, self.server.address).await?;
        for _ in 0..changes {
            tokio::time::sleep(PAUSE).await;
            self.turn += 1;
            let index = self.index();
            let revision = self.client.update(signpost(index, self.turn, &host(index, self.hosts))).await?;
            self.served_by_fleet(revision).await?;
        }
        let bytes = sockets::received(gateway, self.server.address).await?.saturating_sub(bytes);
        let us = |now: CpuReading, before: CpuReading| {
            let time = (now - before).time(ticks);
            (time.user_us + time.system_us) / f64::from(changes)
        };
        let control = us(CpuReading::of_tree(control)?, before.0);
        let gateway = us(CpuReading::of_tree(gateway)?, before.1);
        Ok((control, gateway, bytes as f64 / f64::from(changes)))
    }

    /// Waits until the gateway has acknowledged a revision.
    async fn served_by_fleet(&mut self, revision: i64) -> Result<()> {
        let mut fleet = FleetServiceClient::new(self.client.channel.clone());
        let ask = WaitForRevisionRequest { revision, quorum: 1, ..Default::default() };
        let answer = fleet.wait_for_revision(self.client.request(ask)).await?.into_inner();
        if !answer.reached {
            bail!("the gateway does not serve revision {revision}");
        }
        Ok(())
    }

    fn index(&self) -> u32 {
        u32::try_from(self.turn % u64::from(SIGNS)).unwrap_or(0)
    }

    fn sign(&self, index: u32, turn: u64) -> Sign {
        let host = host(index, self.hosts);
        Sign { host, path: format!("/sign/{index}"), location: format!("/v{turn}") }
    }
}

/// The pool and all routes; those that are changed later are among them, and come last.
async fn fill(client: &mut Hotswap, routes: u32, hosts: u32) -> Result<()> {
    Client::Hotswap(client.clone()).prepare().await?;
    let plain = routes.saturating_sub(SIGNS);
    let mut tasks = JoinSet::new();
    for first in 0..PARALLEL.min(plain) {
        let mut client = client.clone();
        tasks.spawn(async move {
            for index in (first..plain).step_by(PARALLEL as usize) {
                client.create(Route { hosts: vec![host(index, hosts)], ..route(index, 0) }).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a writer failed")??;
    }
    for index in 0..SIGNS {
        client.create(signpost(index, 0, &host(index, hosts))).await?;
    }
    Ok(())
}

fn host(index: u32, hosts: u32) -> String {
    format!("h{}.shop.example.com", index % hosts.max(1))
}

/// `hotswap gateway`, once it listens.
async fn gateway(bench: &Bench, server: &Server, name: &str) -> Result<(Group, SocketAddr)> {
    let ready = bench.dir.join(format!("{name}-gateway.json"));
    let token = bench.dir.join(format!("{name}-gateway.token"));
    fs::write(&token, &server.gateway_token)?;
    let data = server.data().join("gateway");
    fs::create_dir_all(&data)?;
    let mut command = hotswap(&bench.hotswap);
    command.current_dir(&data).args(["gateway", "--gateway-listen", "127.0.0.1:0"]);
    command.args(["--gateway-admin-listen", "127.0.0.1:0", "--access-log", "off", "--log", "warn"]);
    command.args(["--control-plane", &format!("http://{}", server.address)]);
    command.arg("--token-file").arg(&token).arg("--ready-file").arg(&ready);
    let mut group = Group::spawn(&mut command, bench.cores.proxy, &bench.dir, &format!("{name}-gateway"))?;
    let told =
        || fs::read(&ready).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    group.until("listening", TABLE_LIMIT, || async { told().is_some() }).await?;
    let told = told().context("the ready file is gone")?;
    let listen = told["listen"].as_str().context("the ready file names no address")?;
    Ok((group, listen.parse().with_context(|| listen.to_owned())?))
}
