//! The measurement: every contestant takes its turn in every round, with every workload.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::backend::{LARGE, SMALL};
use super::h2load;
use super::peers::Contestant;
use super::probe::{self, Answer};
use super::process::{self, Cores, say};
use super::procfs::{self, CpuReading, CpuTime};
use super::tools::Tools;
use super::wrk::{self, Load};
use super::{RunArgs, stats::Figure};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// GET, 1 KB comes back.
    W1,
    /// GET, 100 KB come back.
    W2,
    /// POST of 10 KB, 1 KB comes back.
    W3,
    /// GET by HTTP/2, 1 KB comes back.
    W4,
}

impl Workload {
    /// What it is, in words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::W1 => "GET 1 KB",
            Self::W2 => "GET 100 KB",
            Self::W3 => "POST 10 KB",
            Self::W4 => {
                "GET 1 KB by HTTP/2 (prior knowledge), 8 connections of 16 streams, to a backend of HTTP/1.1"
            }
        }
    }

    /// The end of its paths.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::W1 | Self::W3 | Self::W4 => "/1k",
            Self::W2 => "/100k",
        }
    }

    /// Whether a body is sent.
    pub(crate) fn is_post(self) -> bool {
        matches!(self, Self::W3)
    }

    /// Whether it comes by HTTP/2.
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::W4)
    }

    fn expected(self) -> Answer {
        Answer { status: 200, body: if matches!(self, Self::W2) { LARGE } else { SMALL } }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What a run does.
pub(crate) struct Plan {
    /// Times that each contestant takes its turn.
    pub(crate) rounds: u32,
    /// Length of a turn, in seconds.
    pub(crate) seconds: u32,
    /// Connections of the load generator.
    pub(crate) connections: u32,
    /// Where everything runs.
    pub(crate) cores: Cores,
    /// What is asked for.
    pub(crate) workloads: Vec<Workload>,
    ticks_per_second: u64,
}

/// What one turn showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// CPU time of the contestant for one request.
    pub(crate) cpu: CpuTime,
    /// Requests in a second.
    pub(crate) rate: f64,
    /// Median latency, in µs.
    pub(crate) p50_us: f64,
    /// Latency that 99 of 100 requests stayed under, in µs.
    pub(crate) p99_us: f64,
    /// Failed requests.
    pub(crate) errors: u64,
    /// Share of the proxy's core, 0 to 1, that others used during the turn.
    pub(crate) foreign: f64,
}

/// All turns of one contestant with one workload.
pub(crate) struct Series {
    /// Position of the contestant.
    pub(crate) contestant: usize,
    /// What was asked for.
    pub(crate) workload: Workload,
    /// One a round.
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    /// One figure of every turn, as median and spread. All zero if there was no turn.
    pub(crate) fn figure(&self, of: impl Fn(&Sample) -> f64) -> Figure {
        let none = Figure { median: 0.0, min: 0.0, max: 0.0 };
        Figure::of(self.samples.iter().map(of)).unwrap_or(none)
    }

    /// Failed requests of all turns.
    pub(crate) fn errors(&self) -> u64 {
        self.samples.iter().map(|s| s.errors).sum()
    }
}

impl Sample {
    /// CPU time for one request, in µs, user and system together.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.user_us + self.cpu.system_us
    }
}

impl Plan {
    /// The plan of these arguments.
    pub(crate) fn new(args: &RunArgs, workloads: Vec<Workload>) -> Result<Self> {
        let cores = Cores { proxy: args.proxy_core, load: args.load_core };
        if cores.proxy == cores.load {
            bail!("the proxy and its load need a core each");
        }
        for core in [cores.proxy, cores.load] {
            process::on_core(core, || ())?;
        }
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let RunArgs { rounds, seconds, connections, .. } = *args;
        Ok(Self { rounds, seconds, connections, cores, workloads, ticks_per_second })
    }

    /// From here on this process, and what it starts, stays off the proxy's core.
    pub(crate) fn leave_proxy_core(&self) -> Result<()> {
        process::pin(std::process::id(), self.cores.load)
    }
}

/// Measures all contestants. Each is first checked and warmed for a second, unmeasured.
pub(crate) async fn all(
    plan: &Plan,
    tools: &Tools,
    dir: &Path,
    contestants: &[Contestant],
) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for (index, contestant) in contestants.iter().enumerate() {
        for &workload in plan.workloads.iter().filter(|w| !w.is_http2() || contestant.http2.is_some()) {
            check(contestant, workload).await.with_context(|| contestant.label.clone())?;
            turn(plan, tools, dir, contestant, workload, 1).await?;
            series.push(Series { contestant: index, workload, samples: Vec::new() });
        }
    }
    for round in 0..plan.rounds {
        for &workload in &plan.workloads {
            let mut now: Vec<_> = series.iter_mut().filter(|s| s.workload == workload).collect();
            // Another one begins each time, so that nobody always follows the same neighbour.
            let shift = round as usize % now.len().max(1);
            now.rotate_left(shift);
            for series in now {
                let Some(contestant) = contestants.get(series.contestant) else { continue };
                let sample = turn(plan, tools, dir, contestant, workload, plan.seconds).await?;
                say(&format!(
                    "round {}/{} {workload} {}: {:.1} µs CPU, {:.0} requests/s",
                    round + 1,
                    plan.rounds,
                    contestant.label,
                    sample.cpu_us(),
                    sample.rate
                ));
                series.samples.push(sample);
            }
        }
    }
    Ok(series)
}

/// A contestant that answers wrongly would win.
async fn check(contestant: &Contestant, workload: Workload) -> Result<()> {
    let body = if workload.is_post() { vec![b'x'; 10 * 1024] } else { Vec::new() };
    for prefix in &contestant.prefixes {
        let path = format!("{prefix}{}", workload.suffix());
        let answer = probe::ask(contestant.address, &path, &body).await?;
        if answer != workload.expected() {
            bail!("{path} is answered with {answer:?} instead of {:?}", workload.expected());
        }
    }
    Ok(())
}

async fn turn(
    plan: &Plan,
    tools: &Tools,
    dir: &Path,
    contestant: &Contestant,
    workload: Workload,
    seconds: u32,
) -> Result<Sample> {
    let load = Load {
        address: contestant.http2.filter(|_| workload.is_http2()).unwrap_or(contestant.address),
        workload,
        prefixes: &contestant.prefixes,
        connections: plan.connections,
        seconds,
    };
    let failed = || format!("{} with {workload}", contestant.label);
    let begin = Instant::now();
    let core_before = procfs::core_ticks(plan.cores.proxy)?;
    let before = CpuReading::of_tree(contestant.pid).with_context(failed)?;
    let ran =
        if workload.is_http2() { h2load::run(dir, &load).await } else { wrk::run(tools, dir, &load).await };
    let outcome = ran.with_context(failed)?;
    let spent = CpuReading::of_tree(contestant.pid).with_context(failed)? - before;
    let core_ticks = procfs::core_ticks(plan.cores.proxy)?.saturating_sub(core_before);
    let time = spent.time(plan.ticks_per_second);
    let core_us = core_ticks as f64 * 1e6 / plan.ticks_per_second as f64;
    let foreign = (core_us - time.user_us - time.system_us).max(0.0) / begin.elapsed().as_micros() as f64;
    let requests = outcome.requests as f64;
    Ok(Sample {
        cpu: CpuTime { user_us: time.user_us / requests, system_us: time.system_us / requests },
        rate: requests * 1e6 / outcome.duration_us as f64,
        p50_us: outcome.p50_us,
        p99_us: outcome.p99_us,
        errors: outcome.errors,
        foreign,
    })
}
