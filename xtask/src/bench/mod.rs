//! `cargo xtask bench <area>`: figures side by side with peers, made in one run, written as a table together
//! with the facts of the machine.
//!
//! Everything runs on loopback. Each contestant has one worker, pinned to one core; the load generator and the
//! backend share another. All contestants are up at once and take turns, so that what disturbs the machine
//! disturbs them alike. Whatever is started dies with the run, on error and on Ctrl-C too: every process leads
//! a group of its own, and a guard kills the group.

mod audit;
mod backend;
mod edge;
mod facts;
mod h2load;
mod judge;
mod measure;
mod peers;
mod picks;
mod probe;
mod process;
mod procfs;
mod relay;
mod report;
mod rollout;
mod routes;
mod stats;
mod table;
mod tools;
mod watch;
mod wrk;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Error, Result, bail};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use facts::Facts;
use measure::{Plan, Workload};
use peers::{Contestant, Peer, Scenario};
use report::Preamble;
use table::RouteTable;
use tools::Tools;

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Benchmarks beside peers", no_binary_name = true)]
struct Cli {
    #[command(subcommand)]
    area: Area,
}

#[derive(Subcommand)]
enum Area {
    /// The gateway beside nginx, HAProxy, Envoy and a plain byte relay.
    Gateway(GatewayArgs),
    /// The gateway where it gets hard: at a steady rate, with idle clients, while routes change, while backends fail.
    Edge(edge::EdgeArgs),
    /// The gateway alone, with growing route tables.
    Routes(RoutesArgs),
    /// The watch beside etcd's: fan-out, memory, reads by name, and from a change to its first request.
    Watch(watch::WatchArgs),
    /// Writes the client of etcd that `watch` speaks through.
    #[command(hide = true)]
    WatchCodegen,
    /// Authentication, authorization, audit, limits and tracing: what each adds to a get and to a write.
    Overhead {
        /// Times that everything is measured; what is compared takes turns.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=101))]
        rounds: u32,
        /// The file for the table. Default: docs/bench/overhead.md.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// The audit log: what it adds to a write, and how fast it is verified.
    Audit {
        /// The file for the table. Default: docs/bench/audit.md.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// What choosing a backend costs, by strategy and size of the pool.
    Picks {
        /// The file for the table. Default: docs/bench/picks.md.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// What the traffic features of a route cost a request, off and on.
    Traffic {
        /// The file for the table. Default: docs/bench/traffic.md.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// The judge of rollouts beside a plain threshold and a rank test, on the same simulated rollouts.
    Judge {
        /// The file for the tables. Default: docs/bench/judge.md.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Lines that the simulation printed before, to make the tables of; without it they are made anew.
        #[arg(long)]
        results: Option<PathBuf>,
    },
    /// Many active rollouts on one node: CPU, memory, how late they are judged and go on.
    Rollout(rollout::RolloutArgs),
    /// The backend of a run.
    #[command(hide = true)]
    Backend {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// A letter that it tells in the header `X-Backend`.
        #[arg(long)]
        name: Option<char>,
        /// How long it takes to answer.
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
    },
    /// The byte relay of a run.
    #[command(hide = true)]
    Relay {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Where the bytes go.
        #[arg(long)]
        upstream: SocketAddr,
    },
}

/// How long, how often and where.
#[derive(Args)]
struct RunArgs {
    /// Times that each contestant takes its turn; medians are over these.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of one turn, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Connections that the load generator holds open.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// The core of the contestant that has its turn.
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// The core of the load generator, the backend and everything else.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// The file for the table. Default: docs/bench/<area>.md.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct GatewayArgs {
    #[command(flatten)]
    run: RunArgs,
    /// w1: GET 1 KB; w2: GET 100 KB; w3: POST 10 KB; w4: GET 1 KB by HTTP/2.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "w1,w2,w3,w4")]
    workloads: Vec<Workload>,
    /// Whom to measure.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "bytecopy,hotswap,nginx,haproxy,haproxy-splice,envoy"
    )]
    peers: Vec<Peer>,
    /// Routes that each contestant but the byte relay has.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    routes: u32,
}

#[derive(Args)]
struct RoutesArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Sizes of the tables that are half exact paths, half prefixes.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,100000")]
    sizes: Vec<u32>,
    /// Sizes of the tables of regular expressions.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    regex_sizes: Vec<u32>,
}

/// Runs `cargo xtask bench` with the arguments that follow `bench`.
pub(crate) fn run(args: Vec<String>) -> Result<()> {
    let cli = Cli::try_parse_from(args).unwrap_or_else(|e| e.exit());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.area {
            Area::Backend { listen, name, delay_ms } => {
                let delay = Duration::from_millis(delay_ms);
                backend::serve(listen, backend::Manner { name, delay }).await
            }
            Area::Relay { listen, upstream } => relay::serve(listen, upstream).await,
            Area::Gateway(args) => until_interrupted(gateway(args)).await,
            Area::Edge(args) => until_interrupted(edge::run(args)).await,
            Area::Routes(args) => until_interrupted(routes::run(args)).await,
            Area::Watch(args) => until_interrupted(watch::run(args)).await,
            Area::WatchCodegen => watch::codegen::run(&crate::root()?),
            Area::Overhead { rounds, out } => {
                let root = crate::root()?;
                let out = out.unwrap_or_else(|| root.join("docs/bench/overhead.md"));
                until_interrupted(audit::overhead(&root, rounds, &out)).await
            }
            Area::Judge { out, results } => {
                let root = crate::root()?;
                let out = out.unwrap_or_else(|| root.join("docs/bench/judge.md"));
                until_interrupted(judge::run(&root, &out, results.as_deref())).await
            }
            Area::Rollout(args) => until_interrupted(rollout::run(&crate::root()?, &args)).await,
            Area::Audit { out } => {
                let root = crate::root()?;
                let out = out.unwrap_or_else(|| root.join("docs/bench/audit.md"));
                until_interrupted(audit::run(&root, &out)).await
            }
            Area::Traffic { out } => {
                let root = crate::root()?;
                let out = out.unwrap_or_else(|| root.join("docs/bench/traffic.md"));
                until_interrupted(audit::traffic(&root, &out)).await
            }
            Area::Picks { out } => {
                let root = crate::root()?;
                let out = out.unwrap_or_else(|| root.join("docs/bench/picks.md"));
                until_interrupted(picks::run(&root, &out)).await
            }
        }
    })
}

/// Drops the work, and with it the guards of all processes, when a signal asks for an end.
async fn until_interrupted(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
        _ = hang_up.recv() => bail!("hung up"),
    }
}

async fn gateway(args: GatewayArgs) -> Result<()> {
    let plan = Plan::new(&args.run, args.workloads.clone())?;
    let root = crate::root()?;
    let tools = Tools::get(&root, args.peers.iter().any(|p| p.is_ours())).await?;
    let facts = Facts::gather().await?;
    // Dropped last: the processes below write into it.
    let dir = tempfile::Builder::new().prefix("hotswap-bench-").tempdir()?;
    plan.leave_proxy_core()?;
    let backend = backend::start(&tools, dir.path(), plan.cores).await?;
    let table = RouteTable { prefix: args.routes, ..Default::default() };
    let scenario = Scenario {
        dir: dir.path(),
        tools: &tools,
        upstream: backend.address,
        table,
        cores: plan.cores,
        tls: None,
        grpc: false,
    };
    let (contestants, absent) = start_all(&dedup(&args.peers), &scenario).await?;
    let series = measure::all(&plan, &tools, dir.path(), &contestants).await?;
    let (command, mut load) = (command_line(&args), wrk::version(&tools));
    if plan.workloads.iter().any(|w| w.is_http2()) {
        load = format!("{load}; of HTTP/2: {}", h2load::version().await?);
    }
    let preamble = Preamble { command: &command, facts: &facts, plan: &plan, load: &load };
    let text = report::gateway(&preamble, &contestants, &absent, &series);
    report::publish(&text, &out(&root, &args.run, "gateway"))?;
    // The table stands, but a run without the one that it is about must not pass for a good one.
    match absent.into_iter().find(|(peer, _)| peer.is_ours()) {
        Some((_, why)) => Err(why.context("hotswap was not measured")),
        None => Ok(()),
    }
}

/// Starts the peers. One that can't be had is told of, loudly, here and in the table, with the reason.
async fn start_all(peers: &[Peer], scenario: &Scenario<'_>) -> Result<(Vec<Contestant>, Vec<(Peer, Error)>)> {
    let (mut contestants, mut absent) = (Vec::new(), Vec::new());
    for &peer in peers {
        process::say(&format!("starting {peer}"));
        match peer.start(scenario).await {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => {
                process::say(&format!("!! {peer} IS NOT MEASURED: {error:#}"));
                absent.push((peer, error));
            }
        }
    }
    if contestants.is_empty() {
        bail!("no contestant could be started");
    }
    Ok((contestants, absent))
}

/// The command that makes the same table again.
fn command_line(args: &GatewayArgs) -> String {
    let workloads: Vec<_> = args.workloads.iter().map(|w| w.to_string().to_lowercase()).collect();
    let peers: Vec<_> = dedup(&args.peers).iter().map(ToString::to_string).collect();
    format!(
        "cargo xtask bench gateway {} --routes {} --workloads {} --peers {}",
        args.run.flags(),
        args.routes,
        workloads.join(","),
        peers.join(",")
    )
}

impl RunArgs {
    fn flags(&self) -> String {
        format!("--rounds {} --seconds {} --connections {}", self.rounds, self.seconds, self.connections)
    }
}

fn dedup(peers: &[Peer]) -> Vec<Peer> {
    let mut seen = Vec::new();
    for peer in peers {
        if !seen.contains(peer) {
            seen.push(*peer);
        }
    }
    seen
}

fn out(root: &Path, run: &RunArgs, area: &str) -> PathBuf {
    run.out.clone().unwrap_or_else(|| root.join(format!("docs/bench/{area}.md")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn peers_and_workloads_are_lists() {
        let args = ["gateway", "--peers", "nginx,haproxy,nginx", "--workloads", "w2"].map(str::to_owned);
        let Area::Gateway(args) = Cli::try_parse_from(args).unwrap().area else { panic!("not gateway") };
        assert_eq!(dedup(&args.peers), [Peer::Nginx, Peer::Haproxy]);
        assert_eq!(args.workloads, [Workload::W2]);
        assert_eq!(
            command_line(&args),
            "cargo xtask bench gateway --rounds 5 --seconds 5 --connections 64 --routes 100 --workloads w2 \
             --peers nginx,haproxy"
        );
    }
}
