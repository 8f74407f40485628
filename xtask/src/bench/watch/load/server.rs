//! The servers, each alone on the servers' core, with a data folder of its own on the same disk.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::args::Peer;
use super::Bench;
use crate::bench::process::{Group, free_address, output};
use crate::bench::procfs;

const START_LIMIT: Duration = Duration::from_secs(120);
/// Longer than any run, so that no stream ends with its token.
const TOKEN_LASTS: &str = "30d";

/// A server that is up, for as long as this lives. Its data stay until the run ends.
pub(crate) struct Server {
    /// Which.
    pub(crate) peer: Peer,
    /// Where it speaks gRPC.
    pub(crate) address: SocketAddr,
    /// For writing and reading; etcd, as it comes, asks for none.
    pub(crate) token: String,
    /// For watching.
    pub(crate) gateway_token: String,
    data: PathBuf,
    group: Group,
}

/// Memory of a process and all below it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) rss: u64,
    /// The same, with shared pages divided among those that share them.
    pub(crate) pss: u64,
}

impl Server {
    /// Starts one on the data folder `name`, which is made where it is not there, and waits until it answers.
    pub(crate) async fn start(bench: &Bench, peer: Peer, name: &str) -> Result<Self> {
        match peer {
            Peer::Hotswap => Self::hotswap(bench, name, &[]).await,
            Peer::Etcd => Self::etcd(bench, name).await,
        }
        .with_context(|| format!("starting {peer}"))
    }

    /// `hotswap serve route`, with more options.
    pub(crate) async fn hotswap(bench: &Bench, name: &str, more: &[&str]) -> Result<Self> {
        let data = bench.dir.join(name);
        let log = bench.dir.join(format!("{name}.log"));
        let mut command = hotswap(&bench.hotswap);
        command.args(["serve", "route", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(&data).args(["--log", "warn"]).args(more);
        let mut group = Group::spawn(&mut command, bench.cores.proxy, &bench.dir, name)?;
        let told = || fs::read_to_string(&log).unwrap_or_default();
        group.until("listening", START_LIMIT, || async { listening(&told()).is_some() }).await?;
        let address = listening(&told()).context("it does not say where it listens")?;
        let token = fs::read_to_string(data.join("admin.token")).context("it made no token")?;
        let mut mint = hotswap(&bench.hotswap);
        mint.args(["token", "--role", "gateway", "--subject", "bench", "--ttl", TOKEN_LASTS]);
        mint.arg("--data-dir").arg(&data);
        let gateway_token = output(mint).await?.trim().to_owned();
        Ok(Self { peer: Peer::Hotswap, address, token: token.trim().to_owned(), gateway_token, data, group })
    }

    async fn etcd(bench: &Bench, name: &str) -> Result<Self> {
        let data = bench.dir.join(name);
        let (address, other) = (free_address()?, free_address()?);
        let (clients, peers) = (format!("http://{address}"), format!("http://{other}"));
        let mut command = Command::new(&bench.etcd);
        command
            .args(["--name", "bench", "--logger", "zap", "--log-level", "warn"])
            .arg("--data-dir")
            .arg(&data);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("bench={peers}")]);
        let mut group = Group::spawn(&mut command, bench.cores.proxy, &bench.dir, name)?;
        let healthy = || crate::bench::probe::is_ok(address, "/health");
        group.until("healthy", START_LIMIT, healthy).await?;
        let none = String::new;
        Ok(Self { peer: Peer::Etcd, address, token: none(), gateway_token: none(), data, group })
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What it holds now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for pid in procfs::tree(self.pid())? {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("process {pid} is gone"))?;
            let one = rollup(&text).with_context(|| format!("/proc/{pid}/smaps_rollup is not as it was"))?;
            sum = Memory { rss: sum.rss + one.rss, pss: sum.pss + one.pss };
        }
        Ok(sum)
    }
}

/// The binary, without the variables of whoever runs this.
pub(crate) fn hotswap(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOTSWAP_")) {
        command.env_remove(name);
    }
    command
}

/// What `hotswap serve` prints once it is up: "listening      http://127.0.0.1:40001 (gRPC)", and last its token.
fn listening(told: &str) -> Option<SocketAddr> {
    told.lines().find(|l| l.starts_with("token"))?;
    let line = told.lines().find(|l| l.starts_with("listening"))?;
    line.split_once("http://")?.1.split_ascii_whitespace().next()?.parse().ok()
}

fn rollup(text: &str) -> Option<Memory> {
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Memory { rss: kilobytes("Rss")? * 1024, pss: kilobytes("Pss")? * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_once_all_is_told() {
        let told = "services       route\nlistening      http://127.0.0.1:40001 (gRPC)\n  admin        http://127.0.0.1:1/m\n";
        assert_eq!(listening(told), None);
        let told = format!("{told}token          /d/admin.token\n");
        assert_eq!(listening(&told), "127.0.0.1:40001".parse().ok());
    }

    #[test]
    fn memory_is_read_by_whole_names() {
        let text = "55-7ff ---p 0 00:00 0 [rollup]\nRss:   2000 kB\nPss:   1000 kB\nPss_Anon:   1 kB\n";
        assert_eq!(rollup(text), Some(Memory { rss: 2_048_000, pss: 1_024_000 }));
        assert_eq!(rollup("Pss_Anon: 1 kB\nRss: 1 kB\n"), None);
    }
}
