//! Our gateway, as it is run: `hotswap up` with a data folder of its own, the routes applied by the CLI, the
//! gateway's process alone on the proxy's core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, iter};

use anyhow::{Context, Result, anyhow};

use super::super::process::{self, Group, free_address, output, pin};
use super::super::table::RouteTable;
use super::super::{probe, procfs};
use super::{Contestant, START_LIMIT, Scenario, middle, version};

/// The pool of all routes.
const POOL: &str = "pools/bench";
/// Writes that the CLI has under way at once.
const PARALLEL: usize = 32;
/// How long the last route may take from its commit to the gateway.
const LIVE_LIMIT: Duration = Duration::from_secs(300);
/// Paths that the requests of a large table are spread over.
const SAMPLE: usize = 1_000;

/// How to talk to the control plane of a suite that is up.
#[derive(Clone)]
pub(crate) struct Control {
    binary: PathBuf,
    address: SocketAddr,
    token: PathBuf,
    /// The process.
    suite: u32,
    gateway: u32,
}

impl Control {
    /// Applies documents by the CLI, and waits until the gateway serves them.
    pub(crate) async fn apply(&self, dir: &Path, documents: &str) -> Result<()> {
        self.write(dir, documents).await?;
        self.call(&["fleet", "wait"]).await
    }

    /// Applies documents by the CLI.
    pub(crate) async fn write(&self, dir: &Path, documents: &str) -> Result<()> {
        let file = dir.join("applied.yaml");
        fs::write(&file, documents)?;
        self.call(&["apply", "-f", &file.to_string_lossy(), "--parallel", &PARALLEL.to_string()]).await
    }

    /// From now on the control plane runs only where nobody else wants its core; the gateway stays as it is.
    pub(crate) async fn give_way(&self) -> Result<()> {
        for process in procfs::tree(self.suite)?.into_iter().filter(|pid| *pid != self.gateway) {
            process::give_way(process).await?;
        }
        Ok(())
    }

    async fn call(&self, arguments: &[&str]) -> Result<()> {
        let mut command = process::giving_way(&self.binary);
        command.args(arguments).args(["--server", &format!("http://{}", self.address)]);
        command.arg("--token-file").arg(&self.token);
        output(command).await.map(drop)
    }
}

/// One that is up with its routes.
pub(crate) struct Started {
    /// The gateway.
    pub(crate) contestant: Contestant,
    /// How long the routes took from the first write on.
    pub(crate) seeded: Duration,
    /// Its control plane.
    pub(crate) control: Control,
}

/// One that is starting: the process and what is needed to talk to it.
struct Suite {
    group: Group,
    binary: PathBuf,
    /// The control plane.
    control: SocketAddr,
    gateway: SocketAddr,
    tls: Option<SocketAddr>,
    token: PathBuf,
}

/// Starts it with all routes live.
/// `engine` is one of those that the gateway has; `None`: its default.
pub(crate) async fn start(scenario: &Scenario<'_>, label: &str, engine: Option<&str>) -> Result<Started> {
    let binary = scenario.tools.hotswap.clone().map_err(|why| anyhow!(why).context("it can't be built"))?;
    let version = version(&binary, "--version", "hotswap ").await?;
    let mut suite = up(scenario, &binary, label, engine).await?;
    let begin = Instant::now();
    apply(&suite, scenario, label).await.context("its routes can't be applied")?;
    live(&mut suite, scenario).await?;
    let seeded = begin.elapsed();
    let pid = gateway_process(suite.group.pid())?;
    pin(pid, scenario.cores.proxy)?;
    let table = scenario.table;
    let one_shape = table.exact == 0 && table.regex == 0;
    let prefixes = if one_shape { middle(&table) } else { table.sample(SAMPLE) };
    let (label, address) = (label.to_owned(), suite.gateway);
    let control = Control {
        binary,
        address: suite.control,
        token: suite.token,
        suite: suite.group.pid(),
        gateway: pid,
    };
    let (http2, tls) = (Some(address), suite.tls);
    let contestant = Contestant { label, version, address, http2, tls, pid, prefixes, _group: suite.group };
    Ok(Started { contestant, seeded, control })
}

/// `hotswap up`, on the load's core: only the gateway's process moves, later.
async fn up(scenario: &Scenario<'_>, binary: &Path, label: &str, engine: Option<&str>) -> Result<Suite> {
    let data = scenario.dir.join(label);
    fs::create_dir_all(&data)?;
    let (control, gateway) = (free_address()?, free_address()?);
    let mut command = Command::new(binary);
    command.arg("up").arg("--data-dir").arg(&data);
    for (flag, address) in [
        ("--listen", control),
        ("--admin-listen", free_address()?),
        ("--gateway-listen", gateway),
        ("--gateway-admin-listen", free_address()?),
    ] {
        command.arg(flag).arg(address.to_string());
    }
    command.args(["--gateway-workers", "1"]);
    if let Some(engine) = engine {
        // The gateway is a process below it, and an option of the gateway's alone.
        command.env("HOTSWAP_GATEWAY_ENGINE", engine);
    }
    let tls = scenario.tls.map(|dir| Ok::<_, anyhow::Error>((dir, free_address()?))).transpose()?;
    if let Some((dir, address)) = tls {
        let dir = dir.display();
        command.env("HOTSWAP_GATEWAY_TLS_LISTEN", address.to_string());
        command.env("HOTSWAP_GATEWAY_TLS_CERTIFICATE", format!("{dir}/cert.pem:{dir}/key.pem"));
    }
    let mut group = Group::spawn(&mut command, scenario.cores.load, scenario.dir, label)?;
    let token = data.join("admin.token");
    // Any answer will do, a 404 too: the gateway serves before it has a route.
    let answers = || async { token.exists() && probe::ask(gateway, "/", b"").await.is_ok() };
    group.until("answering", START_LIMIT, answers).await?;
    let tls = tls.map(|(_, address)| address);
    Ok(Suite { group, binary: binary.to_owned(), control, gateway, tls, token })
}

/// The pool and all routes, by one `hotswap apply`.
async fn apply(suite: &Suite, scenario: &Scenario<'_>, label: &str) -> Result<()> {
    let file = scenario.dir.join(format!("{label}.yaml"));
    fs::write(&file, documents(scenario.upstream, &scenario.table, scenario.grpc))?;
    let mut command = Command::new(&suite.binary);
    command.arg("apply").arg("-f").arg(&file).args(["--parallel", &PARALLEL.to_string()]);
    command.args(["--server", &format!("http://{}", suite.control)]).arg("--token-file").arg(&suite.token);
    output(command).await.map(drop)
}

fn documents(upstream: SocketAddr, table: &RouteTable, grpc: bool) -> String {
    let protocol = if grpc { "protocol: BACKEND_PROTOCOL_HTTP2\n" } else { "" };
    let pool = format!("kind: Pool\nname: {POOL}\n{protocol}backends: [{{address: \"{upstream}\"}}]\n");
    let routes = table.routes().map(|r| r.document(POOL));
    iter::once(pool).chain(routes).collect::<Vec<_>>().join("---\n")
}

/// Waits until the gateway serves the routes that may have been committed last: those that were under way at
/// once at the end. All others come before them.
async fn live(suite: &mut Suite, scenario: &Scenario<'_>) -> Result<()> {
    let gateway = suite.gateway;
    let earlier = scenario.table.len().saturating_sub(PARALLEL);
    for last in scenario.table.routes().skip(earlier) {
        let path = format!("{}/1k", last.request());
        let what = format!("serving {path}");
        suite.group.until(&what, LIVE_LIMIT, || probe::is_ok(gateway, &path)).await?;
    }
    Ok(())
}

/// The supervised child that carries the traffic: `hotswap gateway …`.
fn gateway_process(suite: u32) -> Result<u32> {
    let below = procfs::tree(suite)?.into_iter().skip(1);
    let mut gateways = below.filter(|pid| is_gateway(&procfs::command_line(*pid)));
    gateways.next().context("hotswap up has no gateway process below it")
}

fn is_gateway(words: &[String]) -> bool {
    words.get(1).is_some_and(|word| word == "gateway")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_known_by_its_first_argument() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_gateway(&words("/t/release/hotswap gateway --listen 127.0.0.1:0")));
        assert!(!is_gateway(&words("/t/release/hotswap up --gateway-workers 1")));
        assert!(!is_gateway(&[]));
    }

    #[test]
    fn documents_are_a_stream() {
        let table = RouteTable { prefix: 2, ..Default::default() };
        let text = documents(SocketAddr::from(([127, 0, 0, 1], 9001)), &table, false);
        assert_eq!(text.matches("---\n").count(), 2);
        assert!(text.contains("backends: [{address: \"127.0.0.1:9001\"}]"), "{text}");
        assert!(!text.starts_with("---") && !text.ends_with("---\n"));
    }
}
