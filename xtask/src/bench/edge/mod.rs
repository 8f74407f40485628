//! `cargo xtask bench edge`: the gateway where it gets hard, with peers in the same run. At a steady rate below its
//! limit, with clients that are idle, while routes change under it, and while backends fail, come, or are slow.

mod changes;
mod failures;
mod idle;
mod load;
mod protocols;
mod steady;
mod strategies;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use super::facts::Facts;
use super::measure::Plan;
use super::peers::{Peer, Scenario};
use super::table::RouteTable;
use super::tools::Tools;
use super::{RunArgs, backend, measure::Workload, report};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Latency at half of what each can do.
    Steady,
    /// Memory of an idle connection.
    Idle,
    /// Routes that change under load.
    Changes,
    /// A backend that is killed, and one that is added.
    Failures,
    /// Each strategy, with one slow backend.
    Strategies,
    /// Handshakes of TLS, whole and taken up again, bulk over TLS, messages of WebSockets.
    Protocols,
    /// Calls and streams of gRPC.
    Grpc,
    /// Memory of an idle connection with TLS, with HTTP/2, with both.
    IdleProtocols,
}

#[derive(clap::Args)]
pub(crate) struct EdgeArgs {
    #[command(flatten)]
    run: RunArgs,
    /// What to look at.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "steady,idle,changes,failures,strategies"
    )]
    parts: Vec<Part>,
    /// Engines of ours, and peers.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "hotswap-own,hotswap-hyper,nginx,haproxy,envoy"
    )]
    peers: Vec<Peer>,
    /// Idle connections.
    #[arg(long, default_value_t = 3_000)]
    idle: usize,
    /// Changes of a route under load.
    #[arg(long, default_value_t = 10_000)]
    changes: u32,
}

/// What all parts stand on.
pub(crate) struct Bench<'a> {
    plan: &'a Plan,
    tools: &'a Tools,
    dir: &'a std::path::Path,
    args: &'a EdgeArgs,
}

/// Runs it.
pub(crate) async fn run(args: EdgeArgs) -> Result<()> {
    let plan = Plan::new(&args.run, vec![Workload::W1])?;
    let root = crate::root()?;
    let tools = Tools::get(&root, true).await?;
    let facts = Facts::gather().await?;
    let dir = tempfile::Builder::new().prefix("hotswap-bench-").tempdir()?;
    plan.leave_proxy_core()?;
    let bench = Bench { plan: &plan, tools: &tools, dir: dir.path(), args: &args };
    let mut text = format!(
        "# The gateway where it gets hard\n\nMade by `{}`.\n\n{}- proxy: one worker, pinned to core {}; load, backends and \
         control plane on core {}\n",
        command_line(&args),
        facts.lines(),
        plan.cores.proxy,
        plan.cores.load
    );
    for part in &args.parts {
        let section = match part {
            Part::Steady => steady::run(&bench).await?,
            Part::Idle => idle::run(&bench).await?,
            Part::Changes => changes::run(&bench).await?,
            Part::Failures => failures::run(&bench).await?,
            Part::Strategies => strategies::run(&bench).await?,
            Part::Protocols => protocols::run(&bench, &root).await?,
            Part::Grpc => protocols::grpc(&bench, &root).await?,
            Part::IdleProtocols => protocols::idle(&bench, &root).await?,
        };
        write!(text, "\n{section}")?;
    }
    report::publish(&text, &args.run.out.clone().unwrap_or_else(|| root.join("docs/bench/edge.md")))
}

impl Bench<'_> {
    /// A folder of its own for each that is started.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn scenario<'b>(&'b self, dir: &'b std::path::Path, backend: &backend::Backend) -> Scenario<'b> {
        let table = RouteTable { prefix: 100, ..Default::default() };
        Scenario {
            dir,
            tools: self.tools,
            upstream: backend.address,
            table,
            cores: self.plan.cores,
            tls: None,
            grpc: false,
        }
    }
}

fn command_line(args: &EdgeArgs) -> String {
    let names: Vec<_> = args.peers.iter().map(ToString::to_string).collect();
    let parts: Vec<_> = args.parts.iter().filter_map(clap::ValueEnum::to_possible_value).collect();
    let parts: Vec<_> = parts.iter().map(clap::builder::PossibleValue::get_name).collect();
    format!(
        "cargo xtask bench edge {} --parts {} --peers {} --idle {} --changes {}",
        args.run.flags(),
        parts.join(","),
        names.join(","),
        args.idle,
        args.changes
    )
}
