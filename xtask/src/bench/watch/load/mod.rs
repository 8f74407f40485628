//! The load: servers, watchers, and what is measured.

mod aims;
mod board;
mod client;
mod connection;
mod disk;
mod e2e;
mod etcd_api;
mod fanout;
mod get;
mod memory;
mod poller;
mod quantile;
mod report;
mod seed;
mod server;
mod sockets;
mod watchers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::args::{Part, Peer, WatchArgs};
use crate::bench::facts::Facts;
use crate::bench::process::{self, Cores, output, say};
use crate::bench::{report as tables, tools};

/// What every part has.
pub(crate) struct Bench {
    /// What was asked for.
    pub(crate) args: WatchArgs,
    /// A folder on a disk, gone after the run.
    pub(crate) dir: PathBuf,
    /// `proxy` for the servers, `load` for the rest.
    pub(crate) cores: Cores,
    /// The release build of `hotswap`.
    pub(crate) hotswap: PathBuf,
    /// Debian's etcd.
    pub(crate) etcd: PathBuf,
}

/// What was measured.
#[derive(Default)]
struct Figures {
    fanout: Option<fanout::Fanout>,
    memory: Option<Vec<memory::Held>>,
    get: Option<Vec<get::Series>>,
    e2e: Option<Vec<e2e::Table>>,
}

impl Figures {
    async fn measure(&mut self, bench: &Bench, part: Part) -> Result<()> {
        say(&format!("part {part}"));
        match part {
            Part::Fanout => self.fanout = Some(fanout::measure(bench).await?),
            Part::Memory => self.memory = Some(memory::measure(bench).await?),
            Part::Get => self.get = Some(get::measure(bench).await?),
            Part::E2e => self.e2e = Some(e2e::measure(bench).await?),
        }
        Ok(())
    }

    fn tables(&self, args: &WatchArgs) -> String {
        let mut text = aims::table(self);
        text.extend(self.fanout.iter().map(|f| report::fanout(args, f)));
        text.extend(self.memory.iter().map(|m| report::memory(m)));
        text.extend(self.e2e.iter().map(|e| report::e2e(args, e)));
        text.extend(self.get.iter().map(|g| report::get(args, g)));
        text
    }
}

/// Runs it.
pub(crate) async fn run(mut args: WatchArgs) -> Result<()> {
    args.watchers.retain(|n| *n > 0);
    args.watchers.sort_unstable();
    args.watchers.dedup();
    args.watchers_per_connection.retain(|n| *n > 0);
    args.peers.dedup();
    if args.peers.is_empty() || args.watchers.is_empty() || args.watchers_per_connection.is_empty() {
        bail!("there is nobody to measure");
    }
    let root = crate::root()?;
    let hotswap = tools::build(&root, "hotswap", &[]).await?;
    let etcd = tools::debian("etcd-server", "etcd").await?;
    let target = hotswap.parent().and_then(Path::parent).context("the build has no folder")?;
    let base = args.dir.clone().unwrap_or_else(|| target.join("bench"));
    fs::create_dir_all(&base).with_context(|| format!("making {}", base.display()))?;
    // Dropped last: the processes below write into it.
    let dir = tempfile::Builder::new().prefix("hotswap-bench-").tempdir_in(&base)?;
    let cores = Cores { proxy: args.server_core, load: args.load_core };
    let bench = Bench { args, dir: dir.path().to_owned(), cores, hotswap, etcd };
    let disk = disk::probe(&bench.dir)?;
    process::pin(std::process::id(), cores.load)?;
    let facts = Facts::gather().await?;
    let versions = versions(&bench).await?;
    let mut text = report::preamble(&bench.args, &facts, &disk, &versions);
    let mut figures = Figures::default();
    for part in &bench.args.only {
        figures.measure(&bench, *part).await?;
    }
    text.push_str(&figures.tables(&bench.args));
    let out = bench.args.out.clone().unwrap_or_else(|| root.join("docs/bench/watch.md"));
    tables::publish(&text, &out)
}

/// What each peer says of its version.
async fn versions(bench: &Bench) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    for peer in &bench.args.peers {
        let (program, mark) = match peer {
            Peer::Hotswap => (&bench.hotswap, "hotswap "),
            Peer::Etcd => (&bench.etcd, "etcd Version: "),
        };
        let mut command = Command::new(program);
        command.arg("--version");
        let told = output(command).await?;
        let word = told.split_once(mark).and_then(|(_, rest)| rest.split_ascii_whitespace().next());
        versions.push(format!("{peer}: {}", word.unwrap_or("unknown version")));
    }
    Ok(versions)
}
