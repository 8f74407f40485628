//! The protocols of the edge beside nginx, HAProxy and Envoy: TLS, WebSocket, gRPC, and what idle connections hold.
//!
//! wrk and h2load do not ask for these; the load is an example of the gateway (`gateway-proxy/examples/edge_load`).

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::super::peers::{Contestant, Peer, Scenario};
use super::super::process::{free_address, on_core, output, say};
use super::super::procfs::{self, CpuReading};
use super::super::stats::Figure;
use super::super::{backend, start_all, tools};
use super::Bench;

/// What is done.
#[derive(Clone, Copy)]
struct Kind {
    /// Its name for the load.
    name: &'static str,
    words: &'static str,
    tls: bool,
    /// The end of its path.
    path: &'static str,
    /// At a time, in quarters of what is asked for.
    quarters: u32,
}

const fn kind(name: &'static str, words: &'static str, tls: bool, path: &'static str) -> Kind {
    Kind { name, words, tls, path, quarters: 4 }
}

const KINDS: [Kind; 5] = [
    kind("full", "whole handshake, one request", true, "/1k"),
    kind("resumed", "handshake that takes a session up, one request", true, "/1k"),
    kind("bulk", "GET 100 KB over TLS", true, "/100k"),
    kind("chat", "WebSocket, a message of 128 bytes there and back", false, "/chat"),
    kind("chat", "the same over TLS", true, "/chat"),
];
/// Calls of gRPC, to a server that sends back what comes.
const GRPC: [Kind; 5] = [
    kind("unary", "a call, a message of 128 bytes there and back", false, "/echo"),
    kind("stream", "in a stream, a message of 128 bytes there and back", false, "/echo"),
    kind("flow", "the same with 32 of them under way in each stream", false, "/echo"),
    Kind { quarters: 1, ..kind("stream", "one at a time in a quarter as many streams", false, "/echo") },
    Kind { quarters: 16, ..kind("stream", "one at a time in four times as many", false, "/echo") },
];
/// Idle connections: the load's name for what is spoken, in words, with TLS or without.
const IDLE: [(&str, &str, bool); 3] =
    [("http1", "HTTP/1.1 over TLS", true), ("http2", "HTTP/2", false), ("http2", "HTTP/2 over TLS", true)];

/// What the load says of a turn.
#[derive(Deserialize)]
struct Counted {
    done: u64,
    failed: u64,
}

/// One who is measured, and the load.
struct Turn<'a> {
    load: &'a Path,
    cert: PathBuf,
    contestant: &'a Contestant,
}

/// The peers, up, and the load.
struct Stage {
    load: PathBuf,
    certificates: PathBuf,
    contestants: Vec<Contestant>,
    _backend: backend::Backend,
}

async fn stage(bench: &Bench<'_>, root: &Path, name: &str) -> Result<Stage> {
    let load = tools::build_example(root, "hotswap-gateway", "edge_load").await?;
    let (dir, certificates) = (bench.folder(name)?, bench.folder(&format!("{name}-certificates"))?);
    let mut command = Command::new(&load);
    output({
        command.arg("certificates").arg(&certificates);
        command
    })
    .await?;
    let backend = backend::start(bench.tools, &dir, bench.plan.cores).await?;
    let scenario = Scenario { tls: Some(&certificates), ..bench.scenario(&dir, &backend) };
    let (mut contestants, _) = start_all(&bench.args.peers, &scenario).await?;
    // The engine on hyper and Envoy's set-up here have no TLS.
    contestants.retain(|c| c.tls.is_some());
    Ok(Stage { load, certificates, contestants, _backend: backend })
}

/// Without TLS, before a server of gRPC.
async fn stage_of_grpc(bench: &Bench<'_>, root: &Path) -> Result<Stage> {
    let load = tools::build_example(root, "hotswap-gateway", "edge_load").await?;
    let (dir, address) = (bench.folder("grpc")?, free_address()?);
    let mut command = Command::new(&load);
    command.arg("serve").args(["--listen", &address.to_string()]);
    let backend = backend::start_other(command, address, &dir, bench.plan.cores).await?;
    let scenario = Scenario { grpc: true, ..bench.scenario(&dir, &backend) };
    let able = |peer: &Peer| !matches!(peer, Peer::HotswapHyper | Peer::Bytecopy);
    let peers: Vec<_> = bench.args.peers.iter().copied().filter(able).collect();
    let (contestants, _) = start_all(&peers, &scenario).await?;
    Ok(Stage { load, certificates: dir, contestants, _backend: backend })
}

impl Stage {
    fn turn<'a>(&'a self, contestant: &'a Contestant) -> Turn<'a> {
        Turn { load: &self.load, cert: self.certificates.join("cert.pem"), contestant }
    }
}

/// The table of TLS and WebSocket.
pub(super) async fn run(bench: &Bench<'_>, root: &Path) -> Result<String> {
    let stage = stage(bench, root, "protocols").await?;
    let title = "TLS and WebSocket";
    let how = "connections at a time. A key of ECDSA P-256, TLS 1.3, the same client for all";
    table(bench, &stage, &KINDS, title, how).await
}

/// The table of gRPC.
pub(super) async fn grpc(bench: &Bench<'_>, root: &Path) -> Result<String> {
    let stage = stage_of_grpc(bench, root).await?;
    let how = "calls or streams at a time, 16 to a connection. Without TLS; a call that ends with another status than 0 \
               has failed. The same client and the same server, which sends back what comes, for all";
    table(bench, &stage, &GRPC, "gRPC", how).await
}

async fn table(bench: &Bench<'_>, stage: &Stage, kinds: &[Kind], title: &str, how: &str) -> Result<String> {
    let mut text = format!(
        "## {title}\n\nCPU of the proxy for one of each, user and system, median of {} rounds of {} s with the smallest and \
         the largest; {} {how}.\n\n| what | proxy | CPU µs | a second | failed |\n|---|---|---|---|---|\n",
        bench.plan.rounds, bench.plan.seconds, bench.plan.connections
    );
    for kind in kinds {
        let mut figures: Vec<(Vec<f64>, Vec<f64>, u64)> = vec![Default::default(); stage.contestants.len()];
        for round in 0..=bench.plan.rounds {
            for (contestant, (cpu, rate, failed)) in stage.contestants.iter().zip(&mut figures) {
                // The first round warms, for a second.
                let seconds = if round == 0 { 1 } else { bench.plan.seconds };
                let (each, counted) = stage.turn(contestant).run(bench, kind, seconds).await?;
                if round > 0 {
                    say(&format!("{}, {}: {each:.1} µs CPU, {}", contestant.label, kind.words, counted.done));
                    cpu.push(each);
                    rate.push(counted.done as f64 / f64::from(seconds));
                    *failed += counted.failed;
                }
            }
        }
        for (contestant, (cpu, rate, failed)) in stage.contestants.iter().zip(figures) {
            let (Some(cpu), Some(rate)) = (Figure::of(cpu), Figure::of(rate)) else { continue };
            let Figure { median, min, max } = cpu;
            writeln!(
                text,
                "| {} | {} {} | {median:.1} ({min:.1}–{max:.1}) | {:.0} | {failed} |",
                kind.words, contestant.label, contestant.version, rate.median
            )?;
        }
    }
    Ok(text)
}

impl Turn<'_> {
    fn command(&self, what: &str, kind: &str, tls: bool, path: &str) -> Result<Command> {
        let prefix = self.contestant.prefixes.first().map_or("", String::as_str);
        let by_http2 = ["http2", "unary", "stream", "flow"].contains(&kind);
        let plain = if by_http2 { self.contestant.http2 } else { Some(self.contestant.address) };
        let address = if tls { self.contestant.tls } else { plain };
        let mut command = Command::new(self.load);
        command.args([what, "--kind", kind, "--path", &format!("{prefix}{path}")]);
        command.args(["--address", &address.context("it does not listen so")?.to_string()]);
        if tls {
            command.arg("--cert").arg(&self.cert);
        }
        Ok(command)
    }

    /// CPU time for one, in µs.
    async fn run(&self, bench: &Bench<'_>, kind: &Kind, seconds: u32) -> Result<(f64, Counted)> {
        let mut command = self.command("run", kind.name, kind.tls, kind.path)?;
        let at_a_time = (bench.plan.connections * kind.quarters).div_ceil(4);
        command.args(["--connections", &at_a_time.to_string()]);
        command.args(["--seconds", &seconds.to_string()]);
        let failed = || format!("{} with {}", self.contestant.label, kind.name);
        let before = CpuReading::of_tree(self.contestant.pid).with_context(failed)?;
        let text = output(command).await.with_context(failed)?;
        let spent = CpuReading::of_tree(self.contestant.pid).with_context(failed)? - before;
        let counted: Counted = serde_json::from_str(&text).with_context(failed)?;
        if counted.done == 0 {
            bail!("{}: none was done, {} failed", failed(), counted.failed);
        }
        let time = spent.time(rustix::param::clock_ticks_per_second());
        Ok(((time.user_us + time.system_us) / counted.done as f64, counted))
    }
}

/// The table of memory.
pub(super) async fn idle(bench: &Bench<'_>, root: &Path) -> Result<String> {
    let mut text = format!(
        "## Memory of an idle connection with TLS and HTTP/2\n\n{} connections that asked once and are kept; what the \
         proxy's process has more than before (PSS), without what the kernel keeps for a socket.\n\n\
         | what | proxy | before, MB | with them, MB | KB each |\n|---|---|---|---|---|\n",
        bench.args.idle
    );
    for (number, (kind, words, tls)) in IDLE.into_iter().enumerate() {
        // Started anew each time: memory that was let go of is not always given back.
        let stage = stage(bench, root, &format!("idle-protocols-{number}")).await?;
        for contestant in &stage.contestants {
            let turn = stage.turn(contestant);
            let warm = turn.hold(bench, kind, tls, 1)?;
            let before = procfs::memory(contestant.pid)?;
            let held = turn.hold(bench, kind, tls, bench.args.idle)?;
            let after = procfs::memory(contestant.pid)?;
            drop((warm, held));
            let each = after.saturating_sub(before) as f64 / bench.args.idle.max(1) as f64 / 1024.0;
            say(&format!("{}: {each:.2} KB an idle connection of {words}", contestant.label));
            let mb = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
            let label = &contestant.label;
            writeln!(text, "| {words} | {label} | {:.1} | {:.1} | {each:.2} |", mb(before), mb(after))?;
        }
    }
    Ok(text)
}

/// Connections that are open as long as this is there.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Turn<'_> {
    fn hold(&self, bench: &Bench<'_>, kind: &str, tls: bool, count: usize) -> Result<Held> {
        let mut command = self.command("hold", kind, tls, "/1k")?;
        command.args(["--count", &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut held = Held(on_core(bench.plan.cores.load, || command.spawn())??);
        let mut said = [0; 5];
        let from = held.0.stdout.as_mut().context("it has no output")?;
        from.read_exact(&mut said)
            .with_context(|| format!("{}: {kind} connections did not open", self.contestant.label))?;
        Ok(held)
    }
}
