//! Who is measured. Each contestant is one file: how it is configured and started.

mod bytecopy;
mod envoy;
mod haproxy;
mod hotswap;
mod nginx;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::probe;
use super::process::{Cores, Group, output};
use super::table::RouteTable;
use super::tools::Tools;

/// How long a contestant may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Whom to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// A relay of bytes: the limit.
    Bytecopy,
    /// Our gateway, on its default engine.
    Hotswap,
    /// Our gateway on its own engine.
    HotswapOwn,
    /// Our gateway on hyper.
    HotswapHyper,
    /// nginx from Debian.
    Nginx,
    /// HAProxy from Debian.
    Haproxy,
    /// The same, with bodies spliced in the kernel.
    HaproxySplice,
    /// Envoy from PyPI.
    Envoy,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytecopy => "bytecopy",
            Self::Hotswap => "hotswap",
            Self::HotswapOwn => "hotswap-own",
            Self::HotswapHyper => "hotswap-hyper",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::Envoy => "envoy",
        })
    }
}

/// What contestants are started with.
#[derive(Clone, Copy)]
pub(crate) struct Scenario<'a> {
    /// A folder for configuration, data and logs, gone after the run.
    pub(crate) dir: &'a Path,
    /// Programs.
    pub(crate) tools: &'a Tools,
    /// The one backend.
    pub(crate) upstream: SocketAddr,
    /// The routes, all of which lead to it.
    pub(crate) table: RouteTable,
    /// Where to run.
    pub(crate) cores: Cores,
    /// The folder with cert.pem, key.pem and both.pem of those who take TLS, and let WebSockets pass.
    pub(crate) tls: Option<&'a Path>,
    /// Whether the backend speaks HTTP/2, as gRPC does.
    pub(crate) grpc: bool,
}

/// One that is up and configured, for as long as this lives.
pub(crate) struct Contestant {
    /// What it is called in the table.
    pub(crate) label: String,
    /// What it says of its version.
    pub(crate) version: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it takes HTTP/2 without TLS, where it does.
    pub(crate) http2: Option<SocketAddr>,
    /// Where it takes TLS, where it does.
    pub(crate) tls: Option<SocketAddr>,
    /// The process whose CPU time counts, with those below it.
    pub(crate) pid: u32,
    /// Beginnings of the request paths to send.
    pub(crate) prefixes: Vec<String>,
    _group: Group,
}

impl Peer {
    /// Whether it is our gateway, on whichever engine.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Hotswap | Self::HotswapOwn | Self::HotswapHyper)
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn start(self, scenario: &Scenario<'_>) -> Result<Contestant> {
        match self {
            Self::Bytecopy => bytecopy::start(scenario).await,
            Self::Hotswap => self.start_hotswap(scenario, None).await,
            Self::HotswapOwn => self.start_hotswap(scenario, Some("own")).await,
            Self::HotswapHyper => self.start_hotswap(scenario, Some("hyper")).await,
            Self::Nginx => nginx::start(scenario).await,
            Self::Haproxy | Self::HaproxySplice => haproxy::start(scenario, self).await,
            Self::Envoy => envoy::start(scenario).await,
        }
    }

    async fn start_hotswap(self, scenario: &Scenario<'_>, engine: Option<&str>) -> Result<Contestant> {
        let mut contestant = hotswap::start(scenario, &self.to_string(), engine).await?.contestant;
        if self == Self::HotswapHyper {
            contestant.http2 = None;
        }
        Ok(contestant)
    }
}

pub(crate) use hotswap::{Control, Started, start as start_hotswap};

/// The path that the peers are asked for: a route in the middle of the table.
fn middle(table: &RouteTable) -> Vec<String> {
    let middle = table.routes().nth(table.len() * 57 / 100);
    middle.map(|r| r.request()).into_iter().collect()
}

/// Waits until a peer answers, and makes it a contestant.
async fn ready(
    peer: Peer,
    version: String,
    address: SocketAddr,
    scenario: &Scenario<'_>,
    mut group: Group,
) -> Result<Contestant> {
    let prefixes = middle(&scenario.table);
    let path = format!("{}/1k", prefixes.first().map_or("", String::as_str));
    group.until("answering", START_LIMIT, || probe::is_ok(address, &path)).await?;
    let (label, pid) = (peer.to_string(), group.pid());
    Ok(Contestant { label, version, address, http2: None, tls: None, pid, prefixes, _group: group })
}

/// Asks a program for its version: the word that follows `mark` in what it prints.
async fn version(program: &Path, flag: &str, mark: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.arg(flag);
    Ok(word_after(&output(command).await?, mark).unwrap_or("unknown version").to_owned())
}

fn word_after<'a>(printed: &'a str, mark: &str) -> Option<&'a str> {
    printed.split_once(mark)?.1.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_100_routes_number_57_is_asked_for() {
        assert_eq!(middle(&RouteTable { prefix: 100, ..Default::default() }), ["/r57"]);
    }

    #[test]
    fn the_version_is_the_word_after_the_mark() {
        assert_eq!(word_after("nginx version: nginx/1.22.1\n", "nginx/"), Some("1.22.1"));
        assert_eq!(word_after("HAProxy version 2.6.12 2026/10/17 -", "HAProxy version "), Some("2.6.12"));
        assert_eq!(word_after("no such option", "HAProxy version "), None);
    }
}
