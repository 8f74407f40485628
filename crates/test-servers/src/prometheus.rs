//! A Prometheus of one's own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Unavailable;
use crate::find::{prometheus_program, promtool_program};
use crate::folder::Folder;
use crate::http::{escaped, free_addresses, get};
use crate::process::Server;

/// A server that reads the metrics of others five times a second. Dropped, it is gone.
#[derive(Debug)]
pub struct Prometheus {
    // Fields are dropped in this order: the folder's end kills the server, and is to find it named.
    _folder: Folder,
    _server: Server,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that reads `/metrics` of these, each a job's name and an address.
    ///
    /// # Errors
    /// Where Prometheus is not installed or does not start.
    pub fn start(targets: &[(&str, SocketAddr)]) -> Result<Self, Unavailable> {
        let program = prometheus_program()?;
        let folder = Folder::new("hotswap-prometheus-", None)?;
        let failed = |e: std::io::Error| Unavailable::failed("preparing prometheus", e);
        let [address] = free_addresses().map_err(failed)?;
        let jobs = targets.iter().map(|(job, target)| {
            format!("- {{job_name: {job}, static_configs: [{{targets: ['{target}']}}]}}\n")
        });
        let interval =
            "global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}\n";
        let config = format!("{interval}scrape_configs:\n{}", jobs.collect::<String>());
        let dir = folder.path().to_owned();
        std::fs::write(dir.join("prometheus.yml"), config).map_err(failed)?;
        let args = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"];
        let listen = format!("--web.listen-address={address}");
        let args = args.map(str::to_owned).into_iter().chain([listen]).collect();
        let mut server = Server { program, args, user: None, dir, name: "prometheus", child: None };
        server.start(|_| get(address, "/-/ready").is_ok())?;
        Ok(Self { _folder: folder, _server: server, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a query gives now, as its API says it in JSON.
    ///
    /// # Errors
    /// Where it does not parse.
    pub fn query(&self, query: &str) -> Result<String, Unavailable> {
        let path = format!("/api/v1/query?query={}", escaped(query));
        get(self.address, &path).map_err(|e| Unavailable::failed(query, e))
    }
}

/// What `promtool` says of files in `dir` when it is called with these arguments.
///
/// # Errors
/// Where it is not installed or does not run, or finds something wrong: with what it says.
pub fn promtool(dir: &Path, args: &[&str]) -> Result<String, Unavailable> {
    let failed = |e: std::io::Error| Unavailable::failed("promtool", e);
    let output = Command::new(promtool_program()?).args(args).current_dir(dir).output().map_err(failed)?;
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(told) } else { Err(failed(std::io::Error::other(told))) }
}

/// What `promtool check metrics` finds wrong with metrics in text form; empty where nothing is.
///
/// # Errors
/// Where it is not installed or does not run.
pub fn lint_metrics(text: &str) -> Result<String, Unavailable> {
    let failed = |e: std::io::Error| Unavailable::failed("promtool", e);
    let mut command = Command::new(promtool_program()?);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).trim().to_owned();
    if output.status.success() || !told.is_empty() { Ok(told) } else { Ok(output.status.to_string()) }
}
