//! What `bench watch` is told.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

/// What to measure, how often and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchArgs {
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fanout,memory,get,e2e")]
    pub(super) only: Vec<Part>,
    /// Whom to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hotswap,etcd")]
    pub(super) peers: Vec<Peer>,
    /// Times that each server takes its turn, for fanout and get.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,
    /// Numbers of watchers, for fanout; the largest also for memory.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
    pub(super) watchers: Vec<usize>,
    /// Watchers that share an HTTP/2 connection: 1 as proxies have it, more as a client in one process might.
    #[arg(long, value_delimiter = ',', default_value = "1,50")]
    pub(super) watchers_per_connection: Vec<usize>,
    /// Writes of a turn, one after the other.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) writes: u32,
    /// From the start of a write to the start of the next, for fanout, at least, in ms; 0: at once.
    #[arg(long, value_delimiter = ',', default_value = "0,50")]
    pub(super) pace: Vec<u64>,
    /// Length of a turn of get, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(super) seconds: u32,
    /// Names that a cold run of get reads, each once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(super) names: u32,
    /// Sizes of the route table, for e2e.
    #[arg(long, value_delimiter = ',', default_value = "10,5000,100000")]
    pub(super) routes: Vec<u32>,
    /// Routes that share a host, for e2e; 0: all do.
    #[arg(long, value_delimiter = ',', default_value = "100,0")]
    pub(super) routes_per_host: Vec<u32>,
    /// Changes for each size of e2e.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) changes: u32,
    /// The core of the servers.
    #[arg(long, default_value_t = 0)]
    pub(super) server_core: usize,
    /// The core of this process, with all watchers and clients.
    #[arg(long, default_value_t = 1)]
    pub(super) load_core: usize,
    /// The folder that the servers' data lie below while the run lasts. Default: bench, in the build's folder.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
    /// The file for the tables. Default: docs/bench/watch.md.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// A watcher that stops reading once the writes begin: such a run must fail.
    #[arg(long, hide = true)]
    pub(super) stall: Option<usize>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// A write, and all watchers.
    Fanout,
    /// What a watcher costs while nothing happens.
    Memory,
    /// Reads by name.
    Get,
    /// A write, and a gateway's first answer by it.
    E2e,
}

/// Whom to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// `hotswap serve route`.
    Hotswap,
    /// etcd from Debian.
    Etcd,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hotswap => "hotswap",
            Self::Etcd => "etcd",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fanout => "fanout",
            Self::Memory => "memory",
            Self::Get => "get",
            Self::E2e => "e2e",
        })
    }
}

impl WatchArgs {
    /// The command that makes the same tables again.
    pub(super) fn command_line(&self) -> String {
        let Self { rounds, writes, seconds, names, changes, .. } = self;
        format!(
            "cargo xtask bench watch --only {} --peers {} --rounds {rounds} --watchers {} \
             --watchers-per-connection {} --writes {writes} --pace {} --seconds {seconds} --names {names} \
             --routes {} --routes-per-host {} --changes {changes}",
            list(&self.only),
            list(&self.peers),
            list(&self.watchers),
            list(&self.watchers_per_connection),
            list(&self.pace),
            list(&self.routes),
            list(&self.routes_per_host),
        )
    }
}

fn list(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: WatchArgs,
    }

    #[test]
    fn the_command_line_makes_the_same_run_again() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).expect("parses").args;
        let args = parse("x --only e2e,get --watchers 1,7 --rounds 2 --routes 10 --peers etcd");
        let line = args.command_line();
        assert!(
            line.starts_with("cargo xtask bench watch --only e2e,get --peers etcd --rounds 2 "),
            "{line}"
        );
        let again = parse(line.strip_prefix("cargo xtask bench ").expect("its prefix"));
        assert_eq!(again.command_line(), line);
        assert_eq!(
            (again.watchers, again.routes, again.only),
            (vec![1, 7], vec![10], vec![Part::E2e, Part::Get])
        );
    }
}
