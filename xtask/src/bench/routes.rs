//! `cargo xtask bench routes`: what a request costs our gateway as its table grows. Requests are spread over
//! the whole table, so that its size in memory counts too.

use anyhow::Result;

use super::facts::Facts;
use super::measure::{self, Plan, Workload};
use super::peers::{self, Scenario};
use super::process::say;
use super::report::{self, Preamble};
use super::table::RouteTable;
use super::tools::Tools;
use super::{RoutesArgs, backend, out, procfs, wrk};

/// A table size that is measured.
pub(crate) struct Size {
    /// What the routes are: the growth is told within one kind.
    pub(crate) kind: &'static str,
    /// The table.
    pub(crate) table: RouteTable,
    /// Seconds from the first write until all routes were live.
    pub(crate) seeded_s: f64,
    /// What the gateway's process holds after the measurement, in bytes (PSS).
    pub(crate) memory: u64,
}

/// Runs it.
pub(crate) async fn run(args: RoutesArgs) -> Result<()> {
    let plan = Plan::new(&args.run, vec![Workload::W1])?;
    let root = crate::root()?;
    let tools = Tools::get(&root, true).await?;
    let facts = Facts::gather().await?;
    // Dropped last: the processes below write into it.
    let dir = tempfile::Builder::new().prefix("hotswap-bench-").tempdir()?;
    plan.leave_proxy_core()?;
    let backend = backend::start(&tools, dir.path(), plan.cores).await?;
    let (mut contestants, mut sizes) = (Vec::new(), Vec::new());
    for (kind, table) in tables(&args) {
        let label = format!("{}-{kind}", table.len());
        say(&format!("starting hotswap with {} routes ({kind})", table.len()));
        let scenario = Scenario {
            dir: dir.path(),
            tools: &tools,
            upstream: backend.address,
            table,
            cores: plan.cores,
            tls: None,
            grpc: false,
        };
        let peers::Started { contestant, seeded, .. } = peers::start_hotswap(&scenario, &label, None).await?;
        say(&format!("live after {:.1} s", seeded.as_secs_f64()));
        contestants.push(contestant);
        sizes.push(Size { kind, table, seeded_s: seeded.as_secs_f64(), memory: 0 });
    }
    let series = measure::all(&plan, &tools, dir.path(), &contestants).await?;
    for (size, contestant) in sizes.iter_mut().zip(&contestants) {
        size.memory = procfs::memory(contestant.pid)?;
    }
    let (command, load) = (command_line(&args), wrk::version(&tools));
    let preamble = Preamble { command: &command, facts: &facts, plan: &plan, load: &load };
    report::publish(
        &report::routes(&preamble, &contestants, &sizes, &series),
        &out(&root, &args.run, "routes"),
    )
}

fn tables(args: &RoutesArgs) -> Vec<(&'static str, RouteTable)> {
    let mixed =
        args.sizes.iter().map(|n| ("mixed", RouteTable { prefix: n.div_ceil(2), exact: n / 2, regex: 0 }));
    let regex = args.regex_sizes.iter().map(|n| ("regex", RouteTable { prefix: 0, exact: 0, regex: *n }));
    mixed.chain(regex).filter(|(_, table)| table.len() > 0).collect()
}

/// The command that makes the same table again.
fn command_line(args: &RoutesArgs) -> String {
    let list = |sizes: &[u32]| sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    format!(
        "cargo xtask bench routes {} --sizes {} --regex-sizes {}",
        args.run.flags(),
        list(&args.sizes),
        list(&args.regex_sizes)
    )
}
